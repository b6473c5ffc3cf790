// SPDX-License-Identifier: Apache-2.0
// Listing the guests that could be opened, and the values that the parameters could have.
#pragma once

#include "microvmi/registry.hpp"

namespace microvmi::qemu_driver {

[[nodiscard]] std::vector<Found> scan(const ScanOptions& options);
[[nodiscard]] std::vector<Suggestion> candidates(std::string_view key);

}  // namespace microvmi::qemu_driver
