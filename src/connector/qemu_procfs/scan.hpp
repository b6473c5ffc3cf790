// SPDX-License-Identifier: Apache-2.0
// Listing the guests that could be opened, and the values that the parameters could have.
#pragma once

#include "microvmi/registry.hpp"

namespace microvmi::qemu_procfs_connector {

[[nodiscard]] std::vector<Found> scan(const ScanOptions& options);
// For the keys of the qemu driver too.
[[nodiscard]] std::vector<Suggestion> candidates(std::string_view key);

}  // namespace microvmi::qemu_procfs_connector
