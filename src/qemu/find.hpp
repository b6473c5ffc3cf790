// SPDX-License-Identifier: Apache-2.0
// Finding the QEMU processes of this host.
//
// What counts, in this order:
// 1. The file that runs. qemu-system-*, qemu-kvm and QEMULauncher are QEMU by name. A shell, a
//    timeout or a debugger that has "qemu-system" among its words runs another file and is none.
// 2. The memory. Among the mappings must be one that can be the RAM which the command line asks
//    for; a program that merely has the name has none. This is waived for a QEMU by name whose
//    machine or memory options are not understood.
// 3. A file of any other name is a renamed QEMU if two of its words at least are options of QEMU
//    and it has that memory.
// Where the file may not be seen, as with another user's process, the name it was started under
// decides, and the process is listed with the reason why it cannot be read. A child that shares
// its parent's arguments (fork, -async-teardown) is no guest of its own.
#pragma once

#include <span>

#include "host/linux/maps.hpp"
#include "qemu/command_line.hpp"
#include "qemu/endpoint.hpp"

namespace microvmi::qemu {

struct QemuProcess {
  std::uint32_t pid = 0;
  std::uint64_t start_time = 0;
  std::string program{};  // the file that runs, or argv[0] where that cannot be seen
  CommandLine line{};
  std::optional<Error> unreadable = std::nullopt;
  std::optional<Endpoint> given_monitor = std::nullopt;  // used instead of those of the line
};

// Ascending by pid. Asks no monitor.
[[nodiscard]] Expected<std::vector<QemuProcess>> find_processes();

// Errc::not_found where there is no such process, Errc::invalid_argument where it is no QEMU.
[[nodiscard]] Expected<QemuProcess> process_of(std::uint32_t pid);

// What is known of a process that may be a QEMU; null where it may not be seen.
struct Evidence {
  const std::string* program = nullptr;
  std::span<const std::string> argv{};
  const std::vector<host::Mapping>* maps = nullptr;
};

// Empty for a QEMU; else the reason, to follow "pid 17 (bash) ".
[[nodiscard]] std::string why_not_qemu(const Evidence& evidence, const CommandLine& line);

struct Wanted {
  std::optional<std::string> name = std::nullopt;
  std::optional<std::uint32_t> pid = std::nullopt;
};

// Of those found: the one wanted, or the first that can be read. Several of one name are refused
// with a list; a name beside a pid must be that guest's.
[[nodiscard]] Expected<QemuProcess> choose(std::span<const QemuProcess> found,
                                           const Wanted& wanted);

// Names are their owners' to choose: line breaks and other control characters as \n, \x1b, ...
[[nodiscard]] std::string in_one_line(const std::string& text);

// "pid 17 (win10)"
[[nodiscard]] std::string to_text(const QemuProcess& process);

}  // namespace microvmi::qemu
