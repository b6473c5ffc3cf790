// SPDX-License-Identifier: Apache-2.0
// Times that a user gives, and waiting for them.
#pragma once

#include <chrono>
#include <string>

#include "microvmi/wait.hpp"
#include "session.hpp"

namespace microvmi::tool {

// "5", "0.5", "5s", "500ms"; alone it means seconds.
[[nodiscard]] std::chrono::milliseconds seconds_of(Session& session, const char* name,
                                                   const std::string& text);

// False where it was ended early.
[[nodiscard]] bool sleep_until(const Wait& end);

}  // namespace microvmi::tool
