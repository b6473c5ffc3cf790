// SPDX-License-Identifier: Apache-2.0
// JSON that QEMU sent. Parsed by simdjson: what a monitor tells is kilobytes of text, and the time
// for them would be a tenth of its whole answer.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace microvmi::qemu {

// nullopt for what is no JSON; of equal keys the last one counts. The caller has bounded its size
// and its nesting.
[[nodiscard]] std::optional<nlohmann::json> parse_json(std::string_view text);

}  // namespace microvmi::qemu
