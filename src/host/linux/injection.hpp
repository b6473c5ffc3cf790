// SPDX-License-Identifier: Apache-2.0
// Injection: system calls that a stopped thread of another process makes for us.
//
// At every moment from the first to the last the thread would go on as before by itself if this
// program were killed; see sigreturn.hpp. Signals for it wait meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <span>

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
  Injection(Tracee& tracee, const Gadgets& gadgets) : tracee_(&tracee), gadgets_(gadgets) {}
  [[nodiscard]] Expected<void> prepare();

  Tracee* tracee_;  // null once moved from, or where the thread is not stopped any more
  Gadgets gadgets_;
  ThreadState state_;
  Scratch scratch_;
  bool signals_wait_ = false;
};

}  // namespace microvmi::host
