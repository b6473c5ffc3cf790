// SPDX-License-Identifier: Apache-2.0
// Runs are put where their block is, the last ones first, and then found through two searches.
#include "connector/coredump/stream_memory.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

namespace microvmi::coredump_connector {
namespace {

// What two ranges have in common; empty where `size` is 0.
struct Common {
  std::uint64_t start = 0;
  std::uint64_t size = 0;
};
Common common(std::uint64_t a, std::uint64_t a_size, std::uint64_t b, std::uint64_t b_size) {
  const std::uint64_t start = std::max(a, b);
  const std::uint64_t end = std::min(a + a_size, b + b_size);
  return {start, end > start ? end - start : 0};
}

}  // namespace

Expected<std::unique_ptr<StreamMemory>> StreamMemory::make(const Source& source,
                                                           const StreamRam& ram,
                                                           const StreamLayout& layout) {
  std::unique_ptr<StreamMemory> out(new StreamMemory(source.file));
  auto resolved = resolve(out->collect(ram, layout), source.options.wait);
  if (!resolved) return std::unexpected(std::move(resolved.error()));
  out->extents_ = *std::move(resolved);
  out->map_ = std::make_shared<const MemoryMap>(map_of(out->extents_));
  if (ram.is_cut) out->find_missing(layout);
  return out;
}

// In the order of precedence: the last run of the stream first.
std::vector<Extent> StreamMemory::collect(const StreamRam& ram, const StreamLayout& layout) {
  std::vector<Extent> out;
  runs_.reserve(ram.runs.size());
  std::uint64_t start = 0;
  for (const StreamRun& run : ram.runs | std::views::reverse) {
    runs_.push_back({start, run.offset, run.stride, run.fill});
    const std::uint64_t first = run.page * kPageSize;
    const std::uint64_t size = run.count * kPageSize;
    for (const StreamPlace& place : layout.places) {
      if (place.block != run.block) continue;
      const Common part = common(first, size, place.offset, place.size);
      if (part.size != 0)
        out.push_back({place.gpa + (part.start - place.offset), part.size,
                       start + (part.start - first), place.kind});
    }
    start += size + kPageSize;  // apart, so that no extent goes on into the next run
  }
  return out;
}

void StreamMemory::find_missing(const StreamLayout& layout) {
  for (const StreamPlace& place : layout.places) {
    std::uint64_t at = place.gpa;
    for (const Extent& one : extents_) {
      if (one.end() <= at || one.gpa >= place.gpa + place.size) continue;
      if (one.gpa > at) missing_.push_back({at, one.gpa - at, 0, place.kind});
      at = one.end();
    }
    const std::uint64_t end = place.gpa + place.size;
    if (at < end) missing_.push_back({at, end - at, 0, place.kind});
  }
  std::ranges::sort(missing_, {}, &Extent::gpa);
}

void StreamMemory::read_batch(std::span<ReadRequest> batch) const {
  for (ReadRequest& request : batch) read_one(request);
}

void StreamMemory::read_one(ReadRequest& request) const {
  while (request.done != request.into.size()) {
    const std::uint64_t at = to_integer(request.gpa) + request.done;
    const Extent* const extent = coredump_connector::find(extents_, at);
    const std::size_t got = extent ? copy(*extent, at, request.into.subspan(request.done)) : 0;
    request.done += got;
    if (got != 0) continue;
    const bool is_lost = extent || coredump_connector::find(missing_, at);
    request.status = is_lost ? Errc::io : Errc::hole;
    request.failed_at = Gpa{at};
    return;
  }
}

// As much as lies in one piece: up to the end of a page, or of what is all of one byte.
std::size_t StreamMemory::copy(const Extent& extent, std::uint64_t at,
                               std::span<std::byte> into) const {
  const std::uint64_t place = extent.offset + (at - extent.gpa);
  const Run& run = *std::prev(std::ranges::upper_bound(runs_, place, {}, &Run::start));
  const std::uint64_t within = place - run.start;
  if (run.stride == 0) {
    const auto size = std::min<std::uint64_t>(into.size(), extent.end() - at);
    std::ranges::fill(into.first(size), std::byte{run.fill});
    return size;
  }
  const std::uint64_t skip = within % kPageSize;
  const auto size = std::min<std::uint64_t>({into.size(), extent.end() - at, kPageSize - skip});
  return file_->copy(run.offset + within / kPageSize * run.stride + skip, into.first(size));
}

void StreamMemory::write_batch(std::span<WriteRequest> batch) {
  for (WriteRequest& request : batch) request.status = Errc::read_only;
}

}  // namespace microvmi::coredump_connector
