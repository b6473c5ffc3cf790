// SPDX-License-Identifier: Apache-2.0
// Process: another process of this host, held so that its pid can never come to mean a new one.
//
// Threads: everything but moving it may be called from several at once.
#pragma once

#include <cstdint>
#include <optional>

#include "host/linux/descriptor.hpp"
#include "microvmi/error.hpp"

namespace microvmi::host {

class Process {
 public:
  // With the start time that an earlier look found (ProcStat), a pid that was reused since is
  // Errc::not_found. Errc::permission_denied says what is missing.
  [[nodiscard]] static Expected<Process> open(
      std::uint32_t pid, std::optional<std::uint64_t> start_time = std::nullopt);

  [[nodiscard]] std::uint32_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t start_time() const { return start_time_; }

  // One poll() of the pidfd. A zombie is not alive.
  [[nodiscard]] bool alive() const;

  // Whether its memory may be written.
  [[nodiscard]] bool writable() const { return writable_; }

  // /proc/PID/mem: stays bound to the address space it was opened on, and reads 0 bytes once that
  // is gone.
  [[nodiscard]] int memory() const { return memory_.get(); }
  [[nodiscard]] int directory() const { return directory_.get(); }  // /proc/PID
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  // Errc::disconnected with its pid in the text.
  [[nodiscard]] Error gone() const;

 private:
  Process() = default;

  std::uint32_t pid_ = 0;
  std::uint64_t start_time_ = 0;
  bool writable_ = false;
  Descriptor pidfd_;
  Descriptor directory_;
  Descriptor memory_;
};

}  // namespace microvmi::host
