// SPDX-License-Identifier: Apache-2.0
// complete: what the scripts of `microvmi completion` ask at each Tab.
#pragma once

#include <string>
#include <vector>

#include "output.hpp"

namespace microvmi::tool {

// The first word of such a call; the rest are the words up to the cursor, the last one unfinished.
inline constexpr const char* kCompleteWord = "__complete";

// Prints a line for each candidate, a tab and what it means behind it; ":files" means that names of
// files fit too.
[[nodiscard]] Outcome complete(const std::vector<std::string>& words, Output& out);

}  // namespace microvmi::tool
