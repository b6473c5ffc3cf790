// SPDX-License-Identifier: Apache-2.0
// why_unreadable: the checks of ptrace(2), "Ptrace access mode checking", one after the other.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "host/linux/descriptor.hpp"
#include "host/linux/proc.hpp"

namespace microvmi::host {
namespace {

constexpr unsigned kSysPtrace = 19;  // CAP_SYS_PTRACE of linux/capability.h

std::string status_line(const std::string& status, std::string_view name) {
  const std::size_t at = status.find(fmt::format("\n{}:", name));
  if (at == std::string::npos) return {};
  const std::size_t start = status.find_first_not_of(" \t", at + name.size() + 2);
  return status.substr(start, status.find('\n', start) - start);
}

// The mask of effective capabilities of this process.
std::uint64_t own_capabilities() {
  constexpr std::size_t kStatusLimit = std::size_t{64} << 10;
  const auto status = read_text("/proc/self/status", kStatusLimit);
  if (!status) return 0;
  const std::string mask = status_line(*status, "CapEff");
  return std::strtoull(mask.c_str(), nullptr, 16);
}

bool other_namespace(std::uint32_t pid, const char* kind) {
  const auto own = read_link(fmt::format("/proc/self/ns/{}", kind));
  const auto theirs = read_link(fmt::format("/proc/{}/ns/{}", pid, kind));
  return own && theirs && *own != *theirs;
}

// 0 where the Yama module is absent.
int ptrace_scope() {
  const auto text = read_text("/proc/sys/kernel/yama/ptrace_scope", 16);
  return text ? std::atoi(text->c_str()) : 0;
}

Error denied(std::string message, std::string hint) {
  return {.code = Errc::permission_denied, .message = std::move(message), .hint = std::move(hint)};
}

// The folder belongs to root where the process may not be dumped, whoever owns the process.
bool is_dumpable(std::uint32_t pid, const Owner& owner) {
  struct stat status{};
  const std::string path = fmt::format("/proc/{}/mem", pid);
  return ::stat(path.c_str(), &status) != 0 || status.st_uid == owner.uid;
}

}  // namespace

Error why_unreadable(std::uint32_t pid) {
  const auto owner = owner_of(pid);
  if (!owner) return owner.error();
  const std::string what = fmt::format("cannot read the memory of process {}", pid);
  const bool capable = ((own_capabilities() >> kSysPtrace) & 1) != 0;
  const char* as_root = "run as root or grant CAP_SYS_PTRACE";

  if (ptrace_scope() == 3)
    return denied(what + ": kernel.yama.ptrace_scope is 3, which forbids it to everybody",
                  "boot with another kernel.yama.ptrace_scope; 3 cannot be lowered");
  if (capable && other_namespace(pid, "user"))
    return denied(what +
                      ": it is in another user namespace, where CAP_SYS_PTRACE of this "
                      "container does not reach",
                  "run on the host, outside the container");
  if (capable)
    return denied(what + ": the system forbids it although CAP_SYS_PTRACE is there",
                  "look for a rule of SELinux, AppArmor or seccomp");
  if (owner->uid != ::geteuid())
    return denied(fmt::format("{}: it belongs to user {}, this is user {} without CAP_SYS_PTRACE",
                              what, owner->uid, ::geteuid()),
                  as_root);
  if (!is_dumpable(pid, *owner))
    return denied(what +
                      ": it is marked as not dumpable, by prctl or by the capabilities and "
                      "groups it was started with",
                  as_root);
  if (ptrace_scope() != 0)
    return denied(fmt::format("{}: kernel.yama.ptrace_scope is {}", what, ptrace_scope()),
                  fmt::format("{}, or set kernel.yama.ptrace_scope to 0", as_root));
  if (other_namespace(pid, "pid") || other_namespace(pid, "user"))
    return denied(what + ": it is in another container", "run on the host as root");
  return denied(what + ": its groups or capabilities differ from those of this process", as_root);
}

}  // namespace microvmi::host
