// SPDX-License-Identifier: Apache-2.0
// MonitorAccess: whichever of a QEMU's monitors is free, each time for one command.
#pragma once

#include <vector>

#include "qemu/qmp.hpp"

namespace microvmi::qemu_driver {

// Threads: one at a time.
class MonitorAccess {
 public:
  MonitorAccess(std::vector<qemu::Monitor> monitors, std::chrono::milliseconds each)
      : monitors_(std::move(monitors)), each_(each) {}

  [[nodiscard]] bool any() const { return !monitors_.empty(); }

  // Of the first that answers; where none does, why the first did not. A refusal is an answer.
  [[nodiscard]] Expected<nlohmann::json> ask(const qemu::Command& command);
  [[nodiscard]] Expected<std::string> human(std::string_view line);

 private:
  std::vector<qemu::Monitor> monitors_;  // the one that answered last stands first
  std::chrono::milliseconds each_;
};

// Whether no monitor could be spoken to, so that another way may be tried.
[[nodiscard]] bool is_out_of_reach(const Error& error);

}  // namespace microvmi::qemu_driver
