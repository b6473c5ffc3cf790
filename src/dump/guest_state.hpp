// SPDX-License-Identifier: Apache-2.0
// What a dump tells of a guest beside its memory.
#pragma once

#include "dump/notes.hpp"
#include "microvmi/vm.hpp"

namespace microvmi::dumper {

struct StateRead {
  GuestState state{};
  std::optional<Error> no_registers = std::nullopt;  // why, where the driver has them
};

// The registers of all vCPUs that are there, or of none.
[[nodiscard]] StateRead read_state(Vm& vm);

}  // namespace microvmi::dumper
