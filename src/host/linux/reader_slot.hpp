// SPDX-License-Identifier: Apache-2.0
// ReaderSlot: a number for each thread that no other living thread has, and fences from afar.
#pragma once

#include <cstddef>
#include <cstdint>

namespace microvmi::host {

class ReaderSlot {
 public:
  static constexpr std::size_t kCount = 64;
  static constexpr std::size_t kShared = 0;  // of the threads that found no number free

  static std::size_t of_thread() {
    if (t_index == kNone) [[unlikely]]
      t_index = take();
    return t_index;
  }

  // Whether fence_all() works here; constant.
  static bool fences_are_remote();

  // A full fence in every running thread of this program; false where that failed.
  [[nodiscard]] static bool fence_all();

 private:
  struct Return;
  static constexpr std::uint32_t kNone = kCount;
  static std::uint32_t take();

  [[gnu::tls_model("initial-exec")]] static thread_local constinit std::uint32_t t_index;
};

// Asked once, when the library is loaded: no system call is on the way of a reader.
extern const bool kFencesAreRemote;
inline bool ReaderSlot::fences_are_remote() { return kFencesAreRemote; }

}  // namespace microvmi::host
