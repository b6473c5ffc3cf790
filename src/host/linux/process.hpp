// SPDX-License-Identifier: Apache-2.0
// Process: another process of this host, held so that its pid can never come to mean a new one.
//
// Threads: everything but moving it may be called from several at once.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "host/linux/descriptor.hpp"
#include "host/linux/exit_watch.hpp"
#include "microvmi/error.hpp"

namespace microvmi::host {

// How alive() finds out.
enum class Liveness : std::uint8_t {
  cheap,  // from a page shared with the kernel where possible (ExitWatch), else by poll
  poll    // the pidfd is asked each time
};

class Process {
 public:
  // With the start time that an earlier look found (ProcStat), a pid that was reused since is
  // Errc::not_found. Errc::permission_denied says what is missing.
  [[nodiscard]] static Expected<Process> open(
      std::uint32_t pid, std::optional<std::uint64_t> start_time = std::nullopt,
      Liveness liveness = Liveness::cheap);

  [[nodiscard]] std::uint32_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t start_time() const { return start_time_; }

  // A zombie is not alive.
  [[nodiscard]] bool alive() const { return (watch_ && watch_->surely_running()) || asked_alive(); }

  // Whether alive() is cheap: no system call as long as it is.
  [[nodiscard]] bool watched() const { return watch_ != nullptr; }

  // Whether its memory may be written.
  [[nodiscard]] bool writable() const { return writable_; }

  // /proc/PID/mem: stays bound to the address space it was opened on, and reads 0 bytes once that
  // is gone.
  [[nodiscard]] int memory() const { return memory_.get(); }
  // All of these bytes at an address of its own, or an error. disconnected: that address space is
  // gone.
  [[nodiscard]] Expected<void> peek(std::uint64_t hva, std::span<std::byte> into) const;
  [[nodiscard]] Expected<void> poke(std::uint64_t hva, std::span<const std::byte> bytes) const;
  [[nodiscard]] int directory() const { return directory_.get(); }  // /proc/PID
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  // Errc::disconnected with its pid in the text.
  [[nodiscard]] Error gone() const;

 private:
  Process() = default;
  [[nodiscard]] bool asked_alive() const;  // one poll() of the pidfd
  [[nodiscard]] Expected<void> all_of(ssize_t moved, std::size_t wanted, const char* what,
                                      std::uint64_t hva) const;

  std::uint32_t pid_ = 0;
  std::uint64_t start_time_ = 0;
  bool writable_ = false;
  Descriptor pidfd_;
  Descriptor directory_;
  Descriptor memory_;
  std::unique_ptr<ExitWatch> watch_;
};

}  // namespace microvmi::host
