// SPDX-License-Identifier: Apache-2.0
// What /proc tells of a process. All of it is read with a bound and believed as far as a kernel
// can be: names, arguments and socket paths are whatever another user made them.
//
// A process that is gone, before or in the middle, is Errc::not_found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::host {

// Ascending, without threads.
[[nodiscard]] Expected<std::vector<std::uint32_t>> pids();

// Empty for a kernel thread and a zombie.
[[nodiscard]] Expected<std::vector<std::string>> argv_of(std::uint32_t pid);

[[nodiscard]] Expected<std::string> comm_of(std::uint32_t pid);
[[nodiscard]] Expected<std::string> exe_of(std::uint32_t pid);  // may end in " (deleted)"
[[nodiscard]] Expected<std::string> cwd_of(std::uint32_t pid);

// The fields of proc_pid_stat(5) that are of use.
struct ProcStat {
  std::uint32_t pid = 0;
  std::string comm{};  // may hold spaces and parentheses
  char state = '?';    // 'Z' is a zombie
  std::uint32_t parent = 0;
  std::uint64_t start_time = 0;  // in clock ticks since boot; with the pid it names a process
};
[[nodiscard]] Expected<ProcStat> parse_stat(std::string_view text);
[[nodiscard]] Expected<ProcStat> stat_of(std::uint32_t pid);

struct Owner {
  std::uint32_t uid = 0;  // effective
  std::uint32_t gid = 0;
};
[[nodiscard]] Expected<Owner> owner_of(std::uint32_t pid);

struct OpenFile {
  int fd = -1;
  std::string target{};  // "socket:[123]", "anon_inode:kvm-vm", "/memfd:ram (deleted)"

  // 123 of "socket:[123]"; 0 for everything else.
  [[nodiscard]] std::uint64_t socket_inode() const;
};
[[nodiscard]] Expected<std::vector<OpenFile>> open_files_of(std::uint32_t pid);

// A line of /proc/net/unix that has a path.
struct UnixEndpoint {
  std::uint64_t inode = 0;
  bool listening = false;
  bool abstract = false;  // "@name": in no file system
  std::string path{};     // as it was bound, so perhaps relative to the process's cwd
};

// The kernel writes paths as they are, newlines too, so that a path can forge a line. An inode
// that stands there twice is left out, and whoever connects must ask SO_PEERCRED who answers.
[[nodiscard]] std::vector<UnixEndpoint> parse_unix_sockets(std::string_view text);

// Those of the network namespace of this process.
[[nodiscard]] Expected<std::vector<UnixEndpoint>> unix_sockets_of(std::uint32_t pid);

// What keeps this process from reading that one's memory, and what to do about it. Errc is
// permission_denied, or not_found where there is no such process.
[[nodiscard]] Error why_unreadable(std::uint32_t pid);

}  // namespace microvmi::host
