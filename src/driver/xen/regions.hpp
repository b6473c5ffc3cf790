// SPDX-License-Identifier: Apache-2.0
// Frames as runs of neighbours, and runs as regions of a map.
#pragma once

#include <cstdint>
#include <vector>

#include "microvmi/memory.hpp"

namespace microvmi::xen {

struct Run {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
using Runs = std::vector<Run>;

// In any order; a frame that follows the one before makes its run longer.
void add_frame(Runs& runs, std::uint64_t frame);

// Sorted, joined where they touch.
[[nodiscard]] std::vector<MemoryRegion> regions_of(Runs runs);

}  // namespace microvmi::xen
