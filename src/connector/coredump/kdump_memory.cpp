// SPDX-License-Identifier: Apache-2.0
// A page's bit, its rank, its descriptor, its bytes; decompressed from a copy that nobody changes.
#include "connector/coredump/kdump_memory.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "arch/x86/firmware.hpp"
#include "work/parallel.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::size_t kCacheBytes = 32 << 20;
constexpr std::size_t kLargestPage = 64 << 10;
constexpr std::size_t kWorthSharing = 64;  // pages; fewer take less time than to start threads
constexpr std::size_t kJobPages = 16;

}  // namespace

// makedumpfile's page_desc_t.
struct KdumpMemory::Descriptor {
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t flags;
  std::uint64_t page_flags;
};

// A piece of a request, for one thread.
struct KdumpMemory::Job {
  std::size_t request;
  ReadRequest piece;
};

KdumpMemory::KdumpMemory(std::vector<KdumpPart> parts, PageIndex index,
                         std::optional<PageIndex> existing, std::uint64_t page_size, bool is_x86)
    : parts_(std::move(parts)),
      index_(std::move(index)),
      existing_(std::move(existing)),
      page_size_(page_size),
      page_bits_(static_cast<unsigned>(std::countr_zero(page_size))),
      cache_(page_size, kCacheBytes) {
  ranks_.reserve(parts_.size());
  for (const KdumpPart& part : parts_) ranks_.push_back(index_.rank(part.first));
  map_ = std::make_shared<const MemoryMap>(make_map(is_x86));
}

MemoryMap KdumpMemory::make_map(bool is_x86) const {
  MemoryMap map;
  const PageIndex& all = known();
  for (std::uint64_t page = all.next(0, true); page < all.pages();) {
    const std::uint64_t end = all.next(page, false);
    const Gpa gpa{page << page_bits_};
    const std::uint64_t size = (end - page) << page_bits_;
    const bool is_rom = is_x86 && is_firmware(gpa, size);
    map.regions.push_back({gpa, size, is_rom ? MemoryRegion::Kind::rom : MemoryRegion::Kind::ram});
    page = all.next(end, true);
  }
  return map;
}

const KdumpPart* KdumpMemory::part_of(std::uint64_t page) const {
  if (parts_.size() == 1) [[likely]]
    return page - parts_[0].first < parts_[0].last - parts_[0].first ? parts_.data() : nullptr;
  const auto after = std::ranges::upper_bound(parts_, page, {}, &KdumpPart::first);
  if (after == parts_.begin()) return nullptr;
  const KdumpPart& part = *std::prev(after);
  return page < part.last ? &part : nullptr;
}

Errc KdumpMemory::unpack(const KdumpPart& part, const Descriptor& descriptor,
                         std::span<std::byte> into) const {
  const auto codec = kdump_codec(descriptor.flags);
  if (!codec) return Errc::protocol;
  if (!*codec) {
    if (descriptor.size != page_size_) return Errc::protocol;
    return part.bytes.copy(descriptor.offset, into) ? Errc::none : Errc::io;
  }
  if (!(*codec)->decompress) return Errc::not_supported;
  // What would not be smaller is stored as it is.
  if (descriptor.size > page_size_) return Errc::protocol;
  std::array<std::byte, kLargestPage> packed;  // NOLINT(*-member-init): most of it is not used
  const auto from = std::span(packed).first(descriptor.size);
  if (!part.bytes.copy(descriptor.offset, from)) return Errc::io;
  return (*codec)->decompress(from, into) ? Errc::none : Errc::protocol;
}

Errc KdumpMemory::read_page(std::uint64_t page, std::span<std::byte> into) const {
  if (!index_.has(page)) {
    if (!existing_ || !existing_->has(page)) return Errc::hole;
    std::ranges::fill(into, std::byte{});
    return Errc::none;
  }
  const KdumpPart* part = part_of(page);
  if (!part) return Errc::io;  // in a file of the set that is not here
  const std::uint64_t rank =
      index_.rank(page) - ranks_[static_cast<std::size_t>(part - parts_.data())];
  Descriptor descriptor{};
  if (!part->bytes.get(part->descriptors + rank * sizeof(Descriptor), descriptor)) return Errc::io;
  // A dump that was not finished has descriptors of zeros; no page lies among the headers.
  if (descriptor.offset < page_size_) return Errc::io;
  return unpack(*part, descriptor, into);
}

Errc KdumpMemory::read_part(std::uint64_t page, std::size_t skip, std::span<std::byte> into) const {
  if (into.size() == page_size_) return read_page(page, into);
  if (cache_.copy(page, skip, into)) return Errc::none;
  std::array<std::byte, kLargestPage> whole;  // NOLINT(*-member-init): filled or not used
  const auto bytes = std::span(whole).first(page_size_);
  if (const Errc why = read_page(page, bytes); why != Errc::none) return why;
  cache_.put(page, bytes);
  std::ranges::copy(bytes.subspan(skip, into.size()), into.begin());
  return Errc::none;
}

void KdumpMemory::read_one(ReadRequest& request) const {
  while (request.done != request.into.size()) {
    const std::uint64_t at = to_integer(request.gpa) + request.done;
    const std::size_t skip = at & (page_size_ - 1);
    const std::size_t size =
        std::min<std::uint64_t>(request.into.size() - request.done, page_size_ - skip);
    const Errc why = read_part(at >> page_bits_, skip, request.into.subspan(request.done, size));
    if (why != Errc::none) {
      request.status = why;
      request.failed_at = Gpa{at};
      return;
    }
    request.done += size;
  }
}

void KdumpMemory::read_batch(std::span<ReadRequest> batch) const {
  std::size_t pages = 0;
  for (const ReadRequest& request : batch) {
    pages += 1 + request.into.size() / page_size_;
    if (pages > kWorthSharing) return read_shared_out(batch);
  }
  for (ReadRequest& request : batch) read_one(request);
}

void KdumpMemory::read_shared_out(std::span<ReadRequest> batch) const {
  std::vector<Job> jobs;
  const std::size_t most = kJobPages * page_size_;
  for (std::size_t i = 0; i < batch.size(); ++i)
    for (std::size_t done = 0; done < batch[i].into.size();) {
      // Jobs end at the ends of pages, so that no page is decompressed for two of them.
      const Gpa gpa = batch[i].gpa + done;
      const std::size_t size =
          std::min(batch[i].into.size() - done, most - (to_integer(gpa) & (page_size_ - 1)));
      jobs.push_back({i, {.gpa = gpa, .into = batch[i].into.subspan(done, size)}});
      done += size;
    }
  // Threads take several at once, as one of 16 reads of 8 bytes each is little to ask for.
  const std::size_t share = std::max<std::size_t>(1, jobs.size() / (work::cores() * 8));
  work::in_parallel((jobs.size() + share - 1) / share, [&](std::size_t which) {
    for (std::size_t i = which * share; i < std::min(jobs.size(), (which + 1) * share); ++i)
      read_one(jobs[i].piece);
  });
  for (const Job& job : jobs) {
    ReadRequest& request = batch[job.request];
    if (request.status != Errc::none) continue;  // an earlier piece of it has failed
    request.done += job.piece.done;
    if (job.piece.status == Errc::none) continue;
    request.status = job.piece.status;
    request.failed_at = job.piece.failed_at;
  }
}

void KdumpMemory::write_batch(std::span<WriteRequest> batch) {
  for (WriteRequest& request : batch) request.status = Errc::read_only;
}

}  // namespace microvmi::coredump_connector
