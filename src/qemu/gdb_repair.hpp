// SPDX-License-Identifier: Apache-2.0
// Setting a guest right whose debugger died: its stub has breakpoints, and it may stand still.
#pragma once

#include <string>
#include <vector>

#include "qemu/qmp.hpp"

namespace microvmi::qemu {

struct StubPlan {
  Monitor stub{};
  std::uint64_t start_time = 0;  // of the QEMU process
  bool runs = true;              // the guest, when it is set right
  std::string folder{};          // of a stub that was started for the debugger, which ends then
  std::vector<Monitor> monitors{};
};

// As a list of words, to hand it to another process.
[[nodiscard]] std::vector<std::string> to_words(const StubPlan& plan);
[[nodiscard]] Expected<StubPlan> plan_of(const std::vector<std::string>& words);

// Removes what is set, lets the guest run or leaves it stopped. Errc::disconnected where the
// process is gone.
[[nodiscard]] Expected<void> repair(const StubPlan& plan);

}  // namespace microvmi::qemu
