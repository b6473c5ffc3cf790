// SPDX-License-Identifier: Apache-2.0
// Numbers of threads in one word, and membarrier(2).
#include "host/linux/reader_slot.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <bit>

namespace microvmi::host {
namespace {

long membarrier(int command) { return ::syscall(SYS_membarrier, command, 0U, 0); }

constinit std::atomic<std::uint64_t> g_free{~std::uint64_t{1}};  // all but kShared

}  // namespace

const bool kFencesAreRemote = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;

constinit thread_local std::uint32_t ReaderSlot::t_index = ReaderSlot::kNone;

// Gives the number back when its thread ends. What still reads after that shares a slot.
struct ReaderSlot::Return {
  std::uint32_t index = kShared;
  Return() = default;
  Return(const Return&) = delete;
  Return& operator=(const Return&) = delete;
  ~Return() {
    if (index != kShared) g_free.fetch_or(std::uint64_t{1} << index, std::memory_order_release);
    t_index = kShared;
  }
};

std::uint32_t ReaderSlot::take() {
  static thread_local Return at_end;
  std::uint64_t free = g_free.load(std::memory_order_relaxed);
  while (free != 0) {
    const auto index = static_cast<std::uint32_t>(std::countr_zero(free));
    if (!g_free.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire)) continue;
    at_end.index = index;
    return index;
  }
  return kShared;
}

bool ReaderSlot::fence_all() {
  // Without membarrier each reader has a fence of its own.
  return !kFencesAreRemote || membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

}  // namespace microvmi::host
