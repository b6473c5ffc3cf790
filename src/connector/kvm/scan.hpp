// SPDX-License-Identifier: Apache-2.0
// Listing the virtual machines that run, and the values that `pid` could have.
#pragma once

#include "microvmi/registry.hpp"

namespace microvmi::kvm_connector {

[[nodiscard]] std::vector<Found> scan(const ScanOptions& options);
[[nodiscard]] std::vector<Suggestion> candidates(std::string_view key);

}  // namespace microvmi::kvm_connector
