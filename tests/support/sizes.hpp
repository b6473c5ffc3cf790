// SPDX-License-Identifier: Apache-2.0
// Sizes that tests count in.
#pragma once

#include "microvmi/memory.hpp"

namespace microvmi::test {

inline constexpr std::uint64_t kPage = kPageSize;
inline constexpr std::uint64_t kMiB = 1ULL << 20;
inline constexpr std::uint64_t kGiB = 1ULL << 30;

}  // namespace microvmi::test
