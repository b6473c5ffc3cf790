// SPDX-License-Identifier: Apache-2.0
// What scan() found as JSON, the same for the command line, C and Python.
#pragma once

#include <span>
#include <string>

#include "microvmi/registry.hpp"

namespace microvmi {

// A list of {driver, connector, vm_name, pid, running, vcpus, facts, params}, null where unknown.
// In params a key with several values has a list. What is no UTF-8 becomes U+FFFD, as a guest's
// name is its owner's to choose.
[[nodiscard]] std::string json(std::span<const Found> rows);

}  // namespace microvmi
