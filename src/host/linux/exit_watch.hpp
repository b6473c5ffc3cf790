// SPDX-License-Identifier: Apache-2.0
// ExitWatch: knows without a system call that a process has not ended.
//
// The kernel writes a record into a page that we share with it when the first thread of a process
// ends, before anybody can learn of the process's end: no record, no end. It costs the process a
// little at each switch to that thread. Where perf events are forbidden there is no watch, and the
// pidfd has to be asked, which takes some 200 ns.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "host/linux/descriptor.hpp"

namespace microvmi::host {

class ExitWatch {
 public:
  // Null where it cannot be had.
  [[nodiscard]] static std::unique_ptr<ExitWatch> open(std::uint32_t pid);

  ExitWatch(const ExitWatch&) = delete;
  ExitWatch& operator=(const ExitWatch&) = delete;
  ~ExitWatch();

  // False: it has ended, or is about to, or who knows.
  [[nodiscard]] bool surely_running() const {
    const std::uint64_t head = __atomic_load_n(head_, __ATOMIC_ACQUIRE);
    return head == seen_.load(std::memory_order_relaxed) || only_forks_until(head);
  }

 private:
  ExitWatch(Descriptor event, void* pages);
  [[nodiscard]] bool only_forks_until(std::uint64_t head) const;

  Descriptor event_;
  void* pages_;
  const std::uint64_t* head_;  // how many bytes of records there have been
  const std::byte* records_;
  mutable std::atomic<std::uint64_t> seen_{0};  // up to here, no record was of an end
};

}  // namespace microvmi::host
