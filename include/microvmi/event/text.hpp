// SPDX-License-Identifier: Apache-2.0
// Events by name, for programs in other languages and for command lines.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "microvmi/event.hpp"

namespace microvmi {

// A kind by its name, with what it takes behind colons; numbers as 4096, 0x1000 or 4K:
//   breakpoint:GVA[:hardware]   watchpoint:GVA[:LEN][:r|w|rw]   cr_write:cr3   msr_write:INDEX
//   single_step, int3, cpuid, page_access ...: nothing
[[nodiscard]] Expected<Intercept> parse_intercept(std::string_view text);

// One thing that an event tells: {"gva", 0x1000}. Registers are not among them.
struct EventField {
  const char* name;
  std::uint64_t value;
};

// In the order of its members, without those that are unknown. Flags are 0 or 1.
[[nodiscard]] std::vector<EventField> fields_of(const Event& event);

}  // namespace microvmi
