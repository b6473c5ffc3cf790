// SPDX-License-Identifier: Apache-2.0
// A memory map is refused with a reason, or is sorted and sound and reads the same once it is
// written again, in either form.
#include <cstdio>
#include <cstdlib>

#include "connector/pcileech/memmap.hpp"

namespace {

using namespace microvmi::pcileech_connector;

std::string as_lines(const std::vector<MapRange>& ranges) {
  std::string out;
  for (const MapRange& one : ranges) {
    char line[80];
    std::snprintf(line, sizeof line, "%04x %llx - %llx -> %llx\n", 0U,
                  static_cast<unsigned long long>(one.gpa),
                  static_cast<unsigned long long>(one.gpa + one.size - 1),
                  static_cast<unsigned long long>(one.real));
    out += line;
  }
  return out;
}

std::string as_toml(const std::vector<MapRange>& ranges) {
  std::string out;
  for (const MapRange& one : ranges)
    out += "[[range]]\nbase = " + std::to_string(one.gpa) +
           "\nlength = " + std::to_string(one.size) + "\nreal_base = " + std::to_string(one.real) +
           "\n";
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ranges = parse_memmap(text, "fuzz");
  if (!ranges) {
    if (ranges.error().message.empty()) std::abort();
    return 0;
  }
  if (!problem_of(*ranges).empty()) std::abort();
  const microvmi::MemoryMap map = map_of(*ranges, true);
  for (std::size_t i = 1; i < map.regions.size(); ++i)
    if (map.regions[i].gpa < map.regions[i - 1].end()) std::abort();
  for (const std::string& again : {as_lines(*ranges), as_toml(*ranges)}) {
    const auto twice = parse_memmap(again, "again");
    if (!twice || *twice != *ranges) std::abort();
  }
  return 0;
}
