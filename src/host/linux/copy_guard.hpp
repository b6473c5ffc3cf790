// SPDX-License-Identifier: Apache-2.0
// CopyGuard: what the SIGBUS handler knows of a copy that runs; see guarded_copy.hpp.
#pragma once

#include <atomic>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "host/linux/page_copy.hpp"

namespace microvmi::host {

// Where the last copy of this thread ended. Defined here: g++ forgets the model of what is declared
// first and defined later without it, and a call for each touch costs as much as all of the rest.
[[gnu::tls_model("initial-exec")]] inline thread_local constinit const void* t_copied_to = nullptr;

struct CopyGuard {
  sigjmp_buf back;
  std::uintptr_t first = 0;
  std::uintptr_t size = 0;
  std::uintptr_t fault = 0;  // set by the handler, before it jumps back
  std::size_t index = 0;     // for the one who copies

  // Between sigsetjmp(back, 0) and leave().
  void copy(void* to, const void* from, std::size_t count) {
    first = reinterpret_cast<std::uintptr_t>(from);
    size = count;
    // The fences keep the compiler from moving the copy out of what the handler sees.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (count == sizeof(std::uint64_t)) {
      std::memcpy(to, from, sizeof(std::uint64_t));
    } else {
      if (from == t_copied_to && suits_page_copy(count))
        page_copy(to, from, count);
      else
        std::memcpy(to, from, count);
      t_copied_to = static_cast<const std::byte*>(from) + count;
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  static CopyGuard* enter(CopyGuard& guard);  // gives the one before
  static void leave(CopyGuard* before);
};

// The guard of this thread. initial-exec: a handler must not be the first to touch it, as that
// could allocate.
[[gnu::tls_model("initial-exec")]] inline thread_local constinit CopyGuard* volatile t_copy_guard =
    nullptr;

inline CopyGuard* CopyGuard::enter(CopyGuard& guard) {
  CopyGuard* before = t_copy_guard;
  t_copy_guard = &guard;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return before;
}

inline void CopyGuard::leave(CopyGuard* before) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t_copy_guard = before;
}

}  // namespace microvmi::host
