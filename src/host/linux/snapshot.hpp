// SPDX-License-Identifier: Apache-2.0
// Snapshot: where a guest's memory is in a process, as it was at one moment; never changed after.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "host/linux/ram_mapping.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::host {

// Guest memory that is one range of the process's address space.
struct Segment {
  Gpa gpa{};
  std::uint64_t size = 0;
  std::uint64_t hva = 0;
  MemoryRegion::Kind kind = MemoryRegion::Kind::ram;
  bool operator==(const Segment&) const = default;
};

struct Layout {
  std::vector<Segment> segments{};
  bool exact = true;
  bool operator==(const Layout&) const = default;
};

// A part of a segment that lies in one mapping of the process, or in several that are all copied.
struct Piece {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t hva = 0;
  const std::byte* local = nullptr;  // null: copied by system calls
  std::uint32_t mapping = 0;         // index in Snapshot::mappings, where local
  bool writable = false;             // RAM, and the process may write there itself
};

struct Snapshot {
  std::uint64_t serial = 0;  // of all snapshots, where MemoryMap::generation is of different ones
  std::vector<Piece> pieces{};  // by gpa
  std::vector<std::shared_ptr<const RamMapping>> mappings{};
  std::shared_ptr<const MemoryMap> map{};
  Layout layout{};              // sorted
  std::vector<Mapping> maps{};  // what a change of the process's memory is told by

  // The piece that holds this address; null in a hole.
  [[nodiscard]] const Piece* find(std::uint64_t gpa) const {
    const auto after = std::ranges::upper_bound(pieces, gpa, {}, &Piece::gpa);
    if (after == pieces.begin()) return nullptr;
    const Piece& piece = *std::prev(after);
    return gpa - piece.gpa < piece.size ? &piece : nullptr;
  }
};

// Mappings that are guest memory, or could be: writable or shared, and as big as a DIMM.
[[nodiscard]] std::vector<Mapping> relevant(std::vector<Mapping> maps, const Layout& layout);

struct SnapshotInput {
  Layout layout{};
  std::vector<Mapping> maps{};
  bool map_files = true;               // false: everything is copied by system calls
  const Snapshot* previous = nullptr;  // its mappings are used again, its generation is followed
};

// Errc::protocol where the layout cannot be: overlapping, wrapping or unaligned segments.
[[nodiscard]] Expected<std::unique_ptr<const Snapshot>> make_snapshot(const Process& process,
                                                                      SnapshotInput input);

}  // namespace microvmi::host
