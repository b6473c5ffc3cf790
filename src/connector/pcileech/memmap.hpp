// SPDX-License-Identifier: Apache-2.0
// The memory map of a machine, as its owner writes it down for LeechCore or for memflow.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/memory.hpp"

namespace microvmi::pcileech_connector {

// A range of guest memory, and where the device has it.
struct MapRange {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t real = 0;
  bool operator==(const MapRange&) const = default;
};

// As many as fit into the pages that are shared with the helper.
inline constexpr std::size_t kMostRanges = 32768;

// What is wrong with a range, or with two of them; empty where nothing is. The ranges are sorted.
[[nodiscard]] std::string problem_of(const std::vector<MapRange>& ranges);

// Text of `name`, either LeechCore's lines (hexadecimal: base, last address, optionally the real
// base) or memflow's TOML ([[range]] with base, length and optionally real_base). Sorted; anything
// that is not understood is an error, with its line.
[[nodiscard]] Expected<std::vector<MapRange>> parse_memmap(std::string_view text,
                                                           const std::string& name);

// Touching ranges joined. A range below 4 GiB that only firmware fills is ROM.
[[nodiscard]] MemoryMap map_of(const std::vector<MapRange>& ranges, bool exact);

}  // namespace microvmi::pcileech_connector
