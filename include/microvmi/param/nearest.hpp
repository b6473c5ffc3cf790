// SPDX-License-Identifier: Apache-2.0
// The known word that somebody may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace microvmi::param {

// Empty where none comes close.
[[nodiscard]] std::string nearest_of(const std::vector<std::string_view>& known,
                                     std::string_view text);

}  // namespace microvmi::param
