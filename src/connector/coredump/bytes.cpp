// SPDX-License-Identifier: Apache-2.0
// The records of a flattened file (makedumpfile's -F, all of QEMU's): a place, a size, the bytes.
#include "connector/coredump/bytes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace microvmi::coredump_connector {
namespace {

using namespace std::string_view_literals;

// makedumpfile's IMPLEMENTATION file and diskdump_mod.h: the signature in 16 bytes, a type and a
// version in big-endian words, all in the first 4 KiB; then records, the last of them twice -1.
constexpr std::string_view kSignature = "makedumpfile\0\0\0\0"sv;
constexpr std::uint64_t kHeaderSize = 4096;
constexpr std::uint64_t kType = 1;
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kFlatEnd = ~std::uint64_t{0};

// A page at least is in each record of a sane file: these are 128 GiB of them.
constexpr std::size_t kMostRecords = 1 << 25;
constexpr std::size_t kMostEmpty = 4096;              // records without bytes, which nobody needs
constexpr std::size_t kFlatRecordsPerLook = 1 << 12;  // between two looks at the clock

struct FlatHead {
  std::array<char, kSignature.size()> signature;
  std::uint64_t type;
  std::uint64_t version;
};

struct Record {
  std::uint64_t offset;
  std::uint64_t size;
};

static_assert(std::endian::native == std::endian::little, "numbers of these files are turned");

Record from_big_endian(const Record& record) {
  return {__builtin_bswap64(record.offset), __builtin_bswap64(record.size)};
}

bool is_sane(const Record& record) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  return record.offset <= kLargest && record.size <= kLargest - record.offset;
}

// Where records overlap, what was written later counts, as if they were written to a file.
Expected<std::vector<Extent>> records_in_order(std::vector<Extent> records, const Wait& wait) {
  std::vector<Extent> sorted = records;
  std::ranges::sort(sorted, {}, &Extent::gpa);
  const auto meet = [](const Extent& a, const Extent& b) { return a.end() > b.gpa; };
  if (std::ranges::adjacent_find(sorted, meet) == sorted.end()) return sorted;
  std::ranges::reverse(records);
  return resolve(std::move(records), wait);
}

}  // namespace

Expected<Bytes> Bytes::open(std::shared_ptr<const host::MappedFile> file, const std::string& name,
                            const Wait& wait) {
  Bytes out(std::move(file));
  FlatHead head{};
  if (!out.get(0, head) || std::string_view(head.signature.data(), kSignature.size()) != kSignature)
    return out;
  if (__builtin_bswap64(head.type) != kType || __builtin_bswap64(head.version) != kVersion)
    return fail(Errc::not_supported,
                fmt::format("{} is flattened with type {} and version {}; this build reads 1 and 1",
                            name, __builtin_bswap64(head.type), __builtin_bswap64(head.version)));
  if (auto done = out.read_records(name, wait); !done) return std::unexpected(done.error());
  return out;
}

Expected<void> Bytes::read_records(const std::string& name, const Wait& wait) {
  std::vector<Extent> found;
  std::size_t empty = 0;
  std::uint64_t at = kHeaderSize;
  is_cut_off_ = true;
  for (std::size_t count = 0;; ++count) {
    if (count % kFlatRecordsPerLook == 0)
      if (const Errc over = wait.over(); over != Errc::none)
        return fail(over, "the records of " + name + " were not read in time");
    Record record{};
    if (at >= size_ || !get(at, record)) break;
    record = from_big_endian(record);
    at += sizeof(record);
    if (record.offset == kFlatEnd && record.size == kFlatEnd) {
      is_cut_off_ = false;
      break;
    }
    if (!is_sane(record) || (record.size == 0 && ++empty > kMostEmpty))
      return fail(Errc::protocol,
                  fmt::format("{} has a wrong record before {:#x}: {:#x} bytes for {:#x}", name, at,
                              record.size, record.offset));
    if (found.size() == kMostRecords)
      return fail(Errc::not_supported,
                  fmt::format("{} has more than {} records", name, kMostRecords));
    const std::uint64_t there = std::min(record.size, size_ - std::min(size_, at));
    if (there != 0) found.push_back({.gpa = record.offset, .size = there, .offset = at});
    if (there != record.size) break;
    at += record.size;
  }
  auto sorted = records_in_order(std::move(found), wait);
  if (!sorted) return std::unexpected(sorted.error());
  records_ = *std::move(sorted);
  size_ = records_.empty() ? 0 : records_.back().end();
  is_flattened_ = true;
  return {};
}

const Extent* Bytes::record_at(std::uint64_t offset) const {
  // Most often it is the one of the last time, or that which follows.
  const std::uint32_t last = last_.load(std::memory_order_relaxed);
  for (std::size_t i = last; i < records_.size() && i <= std::size_t{last} + 1; ++i)
    if (offset - records_[i].gpa < records_[i].size) {
      if (i != last) last_.store(static_cast<std::uint32_t>(i), std::memory_order_relaxed);
      return &records_[i];
    }
  const Extent* found = find(records_, offset);
  if (found)
    last_.store(static_cast<std::uint32_t>(found - records_.data()), std::memory_order_relaxed);
  return found;
}

bool Bytes::copy_flattened(std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const Extent* record = record_at(offset);
    if (!record) return false;
    const std::uint64_t skip = offset - record->gpa;
    const std::size_t size = std::min<std::uint64_t>(into.size(), record->size - skip);
    if (file_->copy(record->offset + skip, into.first(size)) != size) return false;
    into = into.subspan(size);
    offset += size;
  }
  return true;
}

}  // namespace microvmi::coredump_connector
