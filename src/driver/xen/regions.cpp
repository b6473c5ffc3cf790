// SPDX-License-Identifier: Apache-2.0
// Runs are kept as they come, which is nearly sorted, and joined at the end.
#include "driver/xen/regions.hpp"

#include <algorithm>

namespace microvmi::xen {

void add_frame(Runs& runs, std::uint64_t frame) {
  if (!runs.empty() && runs.back().first + runs.back().count == frame)
    ++runs.back().count;
  else
    runs.push_back({frame, 1});
}

std::vector<MemoryRegion> regions_of(Runs runs) {
  std::ranges::sort(runs, {}, &Run::first);
  std::vector<MemoryRegion> out;
  for (const Run& run : runs) {
    const Gpa begin{run.first * kPageSize};
    const Gpa end = begin + run.count * kPageSize;
    if (!out.empty() && begin <= out.back().end()) {
      if (end > out.back().end()) out.back().size = end - out.back().gpa;
    } else {
      out.push_back({.gpa = begin, .size = end - begin});
    }
  }
  return out;
}

}  // namespace microvmi::xen
