// SPDX-License-Identifier: Apache-2.0
// A page's offset is its rank: no list of pieces, of which a fragmented guest has a million.
#include "connector/coredump/bitmap_memory.hpp"

#include <algorithm>
#include <utility>

namespace microvmi::coredump_connector {

BitmapMemory::BitmapMemory(std::shared_ptr<const host::MappedFile> file, PageIndex index,
                           std::uint64_t data)
    : file_(std::move(file)), index_(std::move(index)), data_(data) {
  make_map();
}

// Of whole pages that the file has.
void BitmapMemory::make_map() {
  const std::uint64_t there = file_->size() - std::min<std::uint64_t>(file_->size(), data_);
  std::uint64_t left = there / kPageSize;
  MemoryMap map;
  map.regions.reserve(index_.runs());
  std::uint64_t page = index_.next(0, true);
  while (page < index_.pages() && left != 0) {
    const std::uint64_t end = index_.next(page, false);
    const std::uint64_t count = std::min(end - page, left);
    map.regions.push_back({.gpa = Gpa{page * kPageSize}, .size = count * kPageSize});
    left -= count;
    page = count == end - page ? index_.next(end, true) : page + count;
  }
  if (page < index_.pages()) {
    missing_ = index_.total() * kPageSize - there;
    first_missing_ = page * kPageSize + there % kPageSize;
  }
  map_ = std::make_shared<const MemoryMap>(std::move(map));
}

std::size_t BitmapMemory::run_of(std::uint64_t gpa, std::size_t wanted) const {
  std::uint64_t page = gpa / kPageSize;
  std::size_t size = 0;
  while (size < wanted && index_.has(page)) size = ++page * kPageSize - gpa;
  return std::min(size, wanted);
}

View BitmapMemory::view(Gpa gpa, std::size_t size) const {
  const std::uint64_t at = to_integer(gpa);
  if (size == 0 || run_of(at, size) != size) return {};
  const std::uint64_t offset = offset_of(at / kPageSize) + page_offset(gpa);
  if (offset > file_->size() || size > file_->size() - offset) return {};
  return {file_, file_->bytes().subspan(offset, size)};
}

void BitmapMemory::read_batch(std::span<ReadRequest> batch) const {
  for (ReadRequest& request : batch) read_one(request);
}

void BitmapMemory::read_one(ReadRequest& request) const {
  while (request.done != request.into.size()) {
    const Gpa at = request.gpa + request.done;
    const std::size_t size = run_of(to_integer(at), request.into.size() - request.done);
    const std::uint64_t offset = offset_of(to_integer(at) / kPageSize) + page_offset(at);
    const std::size_t got =
        size == 0 ? 0 : file_->copy(offset, request.into.subspan(request.done, size));
    request.done += got;
    if (size != 0 && got == size) continue;
    request.status = size == 0 ? Errc::hole : Errc::io;
    request.failed_at = at + got;
    return;
  }
}

void BitmapMemory::write_batch(std::span<WriteRequest> batch) {
  for (WriteRequest& request : batch) request.status = Errc::read_only;
}

}  // namespace microvmi::coredump_connector
