// SPDX-License-Identifier: Apache-2.0
// Which dialect a kernel speaks: every one says "version 1", so it is told from what it answers.
#pragma once

#include <string>

#include "driver/kvm/connection.hpp"

namespace microvmi::kvm {

struct Abilities {
  Dialect dialect = Dialect::v7;
  bool singlestep = false;  // needs a CPU with the monitor trap flag
  bool views = false;       // more than one EPT view
  std::uint32_t vcpus = 0;
};

// Sets the dialect of the connection. Errc::not_supported names what was seen.
[[nodiscard]] Expected<Abilities> negotiate(Connection& connection, const Wait& wait);

[[nodiscard]] Expected<std::uint32_t> count_vcpus(Connection& connection, const Wait& wait);

}  // namespace microvmi::kvm
