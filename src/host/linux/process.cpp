// SPDX-License-Identifier: Apache-2.0
// Process over pidfd_open(2) and /proc/PID.
#include "host/linux/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "host/linux/proc.hpp"

namespace microvmi::host {
namespace {

// glibc 2.36 has pidfd_open(), older ones that we run on do not.
int open_pidfd(std::uint32_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0U));
}

}  // namespace

Expected<Process> Process::open(std::uint32_t pid, std::optional<std::uint64_t> start_time,
                                Liveness liveness) {
  Process process;
  process.pid_ = pid;
  process.pidfd_ = Descriptor(open_pidfd(pid));
  if (!process.pidfd_) return system_failure(errno, fmt::format("cannot open process {}", pid));

  const std::string folder = fmt::format("/proc/{}", pid);
  process.directory_ = Descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!process.directory_) return system_failure(errno, "cannot open " + folder);
  process.memory_ = Descriptor(::openat(process.directory_.get(), "mem", O_RDWR | O_CLOEXEC));
  process.writable_ = static_cast<bool>(process.memory_);
  if (!process.memory_)
    process.memory_ = Descriptor(::openat(process.directory_.get(), "mem", O_RDONLY | O_CLOEXEC));
  const int refused = process.memory_ ? 0 : errno;

  auto watch = liveness == Liveness::cheap ? ExitWatch::open(pid) : nullptr;

  const auto stat = stat_of(pid);
  // The pidfd came first: while it is alive its number cannot have gone to another process, so
  // that all that was opened by that number in between belongs to it.
  if (!process.alive() || !stat)
    return fail(Errc::not_found, fmt::format("process {} has ended", pid));
  process.start_time_ = stat->start_time;
  process.watch_ = std::move(watch);
  if (start_time && *start_time != stat->start_time)
    return fail(Errc::not_found,
                fmt::format("process {} is not the one that was found before: its number was given "
                            "to a new process",
                            pid),
                {}, "look for the guest again");
  if (refused == EACCES || refused == EPERM) return std::unexpected(why_unreadable(pid));
  if (refused != 0) return system_failure(refused, "cannot open " + folder + "/mem");
  return process;
}

bool Process::asked_alive() const {
  pollfd entry{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  do ready = ::poll(&entry, 1, 0);
  while (ready < 0 && errno == EINTR);
  return ready == 0;
}

Expected<void> Process::all_of(ssize_t moved, std::size_t wanted, const char* what,
                               std::uint64_t hva) const {
  const int error = errno;
  if (moved == static_cast<ssize_t>(wanted)) return {};
  // Nothing at all without an error: the last thread has left it, the process may take a moment.
  if (moved == 0 || !alive()) return std::unexpected(gone());
  return system_failure(
      moved < 0 ? error : EFAULT,
      fmt::format("cannot {} {} bytes at {:#x} of process {}", what, wanted, hva, pid_));
}

Expected<void> Process::peek(std::uint64_t hva, std::span<std::byte> into) const {
  return all_of(::pread(memory(), into.data(), into.size(), static_cast<off_t>(hva)), into.size(),
                "read", hva);
}

Expected<void> Process::poke(std::uint64_t hva, std::span<const std::byte> bytes) const {
  return all_of(::pwrite(memory(), bytes.data(), bytes.size(), static_cast<off_t>(hva)),
                bytes.size(), "write", hva);
}

Error Process::gone() const {
  return {.code = Errc::disconnected,
          .message = fmt::format("process {} has ended", pid_),
          .hint = "open the guest again"};
}

}  // namespace microvmi::host
