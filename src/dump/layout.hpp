// SPDX-License-Identifier: Apache-2.0
// Layout: which memory goes where in the file.
#pragma once

#include <cstdint>
#include <vector>

#include "microvmi/dump.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::dumper {

// Guest memory that lies in one piece in the file too.
struct Piece {
  Gpa gpa{};
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  // in the file
  MemoryRegion::Kind kind = MemoryRegion::Kind::ram;

  [[nodiscard]] Gpa end() const { return gpa + size; }
  bool operator==(const Piece&) const = default;
};

struct Layout {
  std::vector<Piece> pieces{};    // by address
  std::uint64_t total = 0;        // bytes of guest memory
  std::uint64_t header_size = 0;  // elf: room before the data, whole pages
  std::uint64_t file_size = 0;
};

// `note_size` is the room that an elf's note may take. Raw leaves out what is above the end of
// RAM: firmware just below 4 GiB would make every small guest's image that long.
[[nodiscard]] Expected<Layout> lay_out(const MemoryMap& map, ImageFormat format,
                                       std::uint64_t note_size);

// Appends, or lengthens the last one where `next` goes on from it in guest and file.
void append(std::vector<Piece>& pieces, const Piece& next);

}  // namespace microvmi::dumper
