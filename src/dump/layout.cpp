// SPDX-License-Identifier: Apache-2.0
// Raw: the address is the offset. Others: headers, then one region after the other.
#include "dump/layout.hpp"

#include <limits>

#include "dump/elf.hpp"

namespace microvmi::dumper {
namespace {

constexpr std::uint64_t kLargestFile = std::numeric_limits<std::int64_t>::max();  // of an off_t

std::uint64_t round_up(std::uint64_t size) {
  return (size + kPageSize - 1) / kPageSize * kPageSize;
}

std::unexpected<Error> too_large(const MemoryRegion& region, const char* hint) {
  return fail(Errc::invalid_argument, "the guest's memory does not fit into one file", region.gpa,
              hint);
}

}  // namespace

void append(std::vector<Piece>& pieces, const Piece& next) {
  if (!pieces.empty()) {
    Piece& last = pieces.back();
    const bool follows = last.end() == next.gpa && last.offset + last.size == next.offset;
    if (follows && last.kind == next.kind) {
      last.size += next.size;
      return;
    }
  }
  pieces.push_back(next);
}

Expected<Layout> lay_out(const MemoryMap& map, ImageFormat format, std::uint64_t note_size) {
  const bool is_raw = format == ImageFormat::raw;
  Layout layout;
  layout.header_size = is_raw ? 0 : round_up(elf_header_size(map.regions.size(), note_size));
  std::uint64_t next = layout.header_size;
  for (const MemoryRegion& region : map.regions) {
    if (!has_firmware(format) && region.gpa >= map.end_of_memory()) break;
    const std::uint64_t offset = is_raw ? to_integer(region.gpa) : next;
    if (offset > kLargestFile || region.size > kLargestFile - offset)
      return too_large(region, is_raw ? "dump as elf, which leaves holes out" : "");
    layout.pieces.push_back({region.gpa, region.size, offset, region.kind});
    layout.total += region.size;
    next = offset + region.size;
  }
  layout.file_size = next;
  return layout;
}

}  // namespace microvmi::dumper
