// SPDX-License-Identifier: Apache-2.0
// Extents: which guest memory lies where in a file, as a sorted list without overlaps.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "microvmi/memory.hpp"
#include "microvmi/wait.hpp"

namespace microvmi::coredump_connector {

struct Extent {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  // in the file
  MemoryRegion::Kind kind = MemoryRegion::Kind::ram;

  [[nodiscard]] std::uint64_t end() const { return gpa + size; }
  bool operator==(const Extent&) const = default;
};

// Where several extents cover an address, the one that came first in `wanted` has it. None of them
// may be empty or wrap. Errc::timed_out or cancelled where `wait` is over before it is done.
[[nodiscard]] Expected<std::vector<Extent>> resolve(std::vector<Extent> wanted, const Wait& wait);

// The extent that holds the address; null where none does.
[[nodiscard]] const Extent* find(const std::vector<Extent>& extents, std::uint64_t gpa);

// Whole pages only: a page of which the file has a part is not in the map, though what there is
// of it can be read.
[[nodiscard]] MemoryMap map_of(const std::vector<Extent>& extents);

[[nodiscard]] std::uint64_t sum(const std::vector<Extent>& extents);

}  // namespace microvmi::coredump_connector
