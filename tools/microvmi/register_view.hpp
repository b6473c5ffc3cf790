// SPDX-License-Identifier: Apache-2.0
// Registers as a person and as a script see them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "json.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::tool {

// {rax, ..., cs: {selector, base, limit, attributes}, gdt: {base, limit}, ...}; an unknown register
// is absent, and so is a group of which nothing is known.
[[nodiscard]] Json registers_json(const Registers& registers);

// The names of those that are unknown: "cr8", "cs.limit".
[[nodiscard]] Json unknown_json(const Registers& registers);

[[nodiscard]] std::string registers_text(const Registers& registers);

// "cs.base" as in the JSON, or "cs_base" as in C++; "cs" is its selector.
[[nodiscard]] const RegisterInfo* register_named(std::string_view name);

}  // namespace microvmi::tool
