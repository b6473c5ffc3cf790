// SPDX-License-Identifier: Apache-2.0
// Reads are guarded copies from the mapped file, one for each extent that is touched.
#include "connector/coredump/mapped_memory.hpp"

#include <algorithm>
#include <utility>

namespace microvmi::coredump_connector {

MappedMemory::MappedMemory(std::shared_ptr<const host::MappedFile> file,
                           std::vector<Extent> extents, std::vector<Extent> missing)
    : file_(std::move(file)),
      extents_(std::move(extents)),
      missing_(std::move(missing)),
      map_(std::make_shared<const MemoryMap>(map_of(extents_))) {}

const Extent* MappedMemory::extent_at(std::uint64_t gpa) const {
  const std::uint32_t last = last_.load(std::memory_order_relaxed);
  if (last < extents_.size() && gpa - extents_[last].gpa < extents_[last].size)
    return &extents_[last];
  const Extent* found = find(extents_, gpa);
  if (found)
    last_.store(static_cast<std::uint32_t>(found - extents_.data()), std::memory_order_relaxed);
  return found;
}

View MappedMemory::view(Gpa gpa, std::size_t size) const {
  const Extent* extent = extent_at(to_integer(gpa));
  if (!extent || size > extent->end() - to_integer(gpa)) return {};
  return {file_, file_->bytes().subspan(extent->offset + (to_integer(gpa) - extent->gpa), size)};
}

void MappedMemory::read_batch(std::span<ReadRequest> batch) const {
  for (ReadRequest& request : batch) read_one(request);
}

void MappedMemory::read_one(ReadRequest& request) const {
  while (request.done != request.into.size()) {
    const std::uint64_t at = to_integer(request.gpa) + request.done;
    const Extent* extent = extent_at(at);
    if (!extent) {
      request.status = find(missing_, at) ? Errc::io : Errc::hole;
      request.failed_at = Gpa{at};
      return;
    }
    const std::size_t size =
        std::min<std::uint64_t>(request.into.size() - request.done, extent->end() - at);
    const std::size_t got =
        file_->copy(extent->offset + (at - extent->gpa), request.into.subspan(request.done, size));
    request.done += got;
    if (got == size) continue;
    request.status = Errc::io;
    request.failed_at = Gpa{at + got};
    return;
  }
}

void MappedMemory::write_batch(std::span<WriteRequest> batch) {
  for (WriteRequest& request : batch) request.status = Errc::read_only;
}

}  // namespace microvmi::coredump_connector
