// SPDX-License-Identifier: Apache-2.0
// Pieces: what a format says lies where in its file, split into what the file holds and what it
// ends before.
#pragma once

#include <vector>

#include "connector/coredump/extents.hpp"
#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

// 128 MiB of our own memory; a fragmented guest of 32 GiB.
inline constexpr std::size_t kMostExtents = 1 << 22;

class Pieces {
 public:
  // Of several that cover an address, the one that came first has it. False where there are too
  // many, or where it would run past the last address.
  [[nodiscard]] bool add(const Extent& wanted, std::uint64_t file_size);

  // Makes the memory and the facts about what is missing.
  [[nodiscard]] Expected<void> finish(Image& image, const Source& source) &&;

 private:
  std::vector<Extent> present_;
  std::vector<Extent> missing_;
};

// The facts about memory that the file ends before: how many bytes, the address of the first.
void tell_missing(Image& image, const Source& source, std::uint64_t bytes, std::uint64_t first);

// The fact about pages of which the image has a part: `bytes` is all that it has. They can be read,
// but are in no map, so that nobody would miss them in a dump of the image.
void tell_parts_of_pages(Image& image, std::uint64_t bytes);

// Why add() refused.
[[nodiscard]] std::unexpected<Error> bad_piece(const Source& source, const Extent& wanted);

}  // namespace microvmi::coredump_connector
