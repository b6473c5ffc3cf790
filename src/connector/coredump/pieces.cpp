// SPDX-License-Identifier: Apache-2.0
// Neighbours are joined as they come, so that a list of pages stays as short as it can be.
#include "connector/coredump/pieces.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "connector/coredump/mapped_memory.hpp"

namespace microvmi::coredump_connector {
namespace {

bool append_piece(std::vector<Extent>& list, const Extent& next) {
  if (next.size == 0) return true;
  if (!list.empty()) {
    Extent& last = list.back();
    if (last.end() == next.gpa && last.offset + last.size == next.offset &&
        last.kind == next.kind) {
      last.size += next.size;
      return true;
    }
  }
  if (list.size() == kMostExtents) return false;
  list.push_back(next);
  return true;
}

// Most formats list their memory so; sorting a million pages would take longer than reading them.
bool is_sorted_and_apart(const std::vector<Extent>& list) {
  const auto meet = [](const Extent& a, const Extent& b) { return b.gpa < a.end(); };
  return std::ranges::adjacent_find(list, meet) == list.end();
}

Expected<std::vector<Extent>> in_order(std::vector<Extent> list, const Wait& wait) {
  if (is_sorted_and_apart(list)) return list;
  return resolve(std::move(list), wait);
}

bool wraps(const Extent& one) { return one.size > ~one.gpa || one.size > ~one.offset; }

}  // namespace

bool Pieces::add(const Extent& wanted, std::uint64_t file_size) {
  if (wraps(wanted)) return false;
  const std::uint64_t room = file_size - std::min(file_size, wanted.offset);
  const std::uint64_t size = std::min(wanted.size, room);
  Extent head = wanted;
  head.size = size;
  Extent rest = wanted;
  rest.gpa += size;
  rest.offset += size;
  rest.size -= size;
  return append_piece(present_, head) && append_piece(missing_, rest);
}

Expected<void> Pieces::finish(Image& image, const Source& source) && {
  auto present = in_order(std::move(present_), source.options.wait);
  if (!present) return std::unexpected(std::move(present.error()));
  auto missing = in_order(std::move(missing_), source.options.wait);
  if (!missing) return std::unexpected(std::move(missing.error()));
  if (present->empty())
    return missing->empty() ? fail(Errc::protocol, source.name() + " has no memory in it")
                            : fail(Errc::io, source.name() + " is cut off before its first memory");
  tell_missing(image, source, sum(*missing), missing->empty() ? 0 : missing->front().gpa);
  const std::uint64_t bytes = sum(*present);
  image.memory =
      std::make_unique<MappedMemory>(source.file, *std::move(present), *std::move(missing));
  if (image.memory->map()->regions.empty())
    return fail(Errc::protocol, source.name() + " has no whole page of memory in it");
  tell_parts_of_pages(image, bytes);
  return {};
}

void tell_parts_of_pages(Image& image, std::uint64_t bytes) {
  for (const MemoryRegion& region : image.memory->map()->regions) bytes -= region.size;
  if (bytes != 0) image.info.facts.push_back({"bytes_in_parts_of_pages", bytes});
}

void tell_missing(Image& image, const Source& source, std::uint64_t bytes, std::uint64_t first) {
  image.info.facts.push_back({"truncated", bytes != 0});
  if (bytes == 0) return;
  image.info.facts.push_back({"missing_bytes", bytes});
  image.info.facts.push_back({"first_missing", first});
  source.log(
      fmt::format("is cut off: {} bytes of memory from {:#x} on are not in it", bytes, first));
}

std::unexpected<Error> bad_piece(const Source& source, const Extent& wanted) {
  if (wraps(wanted))
    return fail(Errc::protocol, fmt::format("{} has {:#x} bytes at {:#x}, past the last address",
                                            source.name(), wanted.size, wanted.gpa));
  return fail(Errc::not_supported,
              fmt::format("{} has its memory in more than {} pieces", source.name(), kMostExtents));
}

}  // namespace microvmi::coredump_connector
