// SPDX-License-Identifier: Apache-2.0
// Injection: system calls that a thread of another process makes for us, each between two stops or
// all of them at once.
//
// At every moment from the first to the last the thread would go on as before by itself if this
// program were killed; see sigreturn.hpp. Signals for it wait meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "host/linux/sigreturn.hpp"
#include "host/linux/tracee.hpp"

namespace microvmi::host {

class Injection {
 public:
  // not_supported: a filter looks at the thread's system calls, which could end the process, or the
  // processor checks its returns.
  [[nodiscard]] static Expected<Injection> begin(Tracee& tracee, const Gadgets& gadgets);
  Injection(const Injection&) = delete;
  Injection& operator=(const Injection&) = delete;
  Injection(Injection&& other) noexcept;
  Injection& operator=(Injection&& other) = delete;
  ~Injection();  // as the thread was

  // What it returned, negative for an errno.
  using Arguments = std::array<std::uint64_t, 6>;
  [[nodiscard]] Expected<std::int64_t> call(std::int64_t number, const Arguments& arguments,
                                            const Wait& wait);

  // ioctl with `data` as its argument, which holds what came back.
  [[nodiscard]] Expected<std::int64_t> control(int fd, std::uint64_t request,
                                               std::span<std::byte> data, const Wait& wait);

 private:
  Injection(Tracee& tracee, const Gadgets& gadgets, ThreadState state, Scratch scratch)
      : tracee_(&tracee),
        gadgets_(gadgets),
        state_(std::move(state)),
        scratch_(std::move(scratch)) {}

  Tracee* tracee_;  // null once moved from, or where the thread is not stopped any more
  Gadgets gadgets_;
  ThreadState state_;
  Scratch scratch_;
  bool signals_wait_ = false;
};

// An ioctl of a chain; `data` is its argument and holds what came back.
struct Control {
  std::uint64_t request = 0;
  std::span<std::byte> data{};
};

// The thread is let go and makes these, one after the other and without a stop in between, before
// it goes on as it was; waits until it has. What each returned is not known: it shows in the data
// alone. busy: another program has stopped the thread since, and overwritten what came back.
[[nodiscard]] Expected<void> go_on_by_way_of(Tracee& tracee, const Gadgets& gadgets, int fd,
                                             std::span<const Control> controls, const Wait& wait);

}  // namespace microvmi::host
