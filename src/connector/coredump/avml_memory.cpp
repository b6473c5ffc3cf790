// SPDX-License-Identifier: Apache-2.0
// A chunk is unpacked whole, checked against its checksum, and kept for the next read.
#include "connector/coredump/avml_memory.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "connector/coredump/fields.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kStep =
    1 << 17;  // twice the largest chunk: no extent goes on into the next
constexpr std::size_t kMostCached = 32 << 20;
constexpr std::size_t kLargestChunk = 65536;

// CRC-32C (RFC 3720, appendix B.4), a byte at a time.
constexpr auto kTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}();

// As snappy's framing format masks it.
std::uint32_t masked_crc(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::byte one : bytes)
    crc = crc >> 8 ^ kTable[(crc ^ static_cast<std::uint32_t>(one)) & 0xFFU];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8U;
}

}  // namespace

AvmlMemory::AvmlMemory(std::shared_ptr<const host::MappedFile> file)
    : file_(std::move(file)), cache_(kLargestChunk, kMostCached) {}

Expected<std::unique_ptr<AvmlMemory>> AvmlMemory::make(const Source& source, AvmlChunks chunks) {
  std::unique_ptr<AvmlMemory> out(new AvmlMemory(source.file));
  out->chunks_ = std::move(chunks.chunks);
  std::vector<Extent> wanted;
  wanted.reserve(out->chunks_.size());
  for (const AvmlChunk& chunk : out->chunks_)
    wanted.push_back({chunk.gpa, chunk.plain, wanted.size() * kStep});
  auto extents = resolve(std::move(wanted), source.options.wait);
  if (!extents) return std::unexpected(std::move(extents.error()));
  auto missing = resolve(std::move(chunks.missing), source.options.wait);
  if (!missing) return std::unexpected(std::move(missing.error()));
  out->extents_ = *std::move(extents);
  out->missing_ = *std::move(missing);
  out->map_ = std::make_shared<const MemoryMap>(map_of(out->extents_));
  return out;
}

void AvmlMemory::read_batch(std::span<ReadRequest> batch) const {
  for (ReadRequest& request : batch) read_one(request);
}

void AvmlMemory::read_one(ReadRequest& request) const {
  while (request.done != request.into.size()) {
    const std::uint64_t at = to_integer(request.gpa) + request.done;
    const Extent* const extent = find(extents_, at);
    const std::size_t got = extent ? copy(*extent, at, request.into.subspan(request.done)) : 0;
    request.done += got;
    if (got != 0) continue;
    request.status = extent || find(missing_, at) ? Errc::io : Errc::hole;
    request.failed_at = Gpa{at};
    return;
  }
}

// As much as one chunk has; nothing where it is cut off or wrong.
std::size_t AvmlMemory::copy(const Extent& extent, std::uint64_t at,
                             std::span<std::byte> into) const {
  const std::uint64_t place = extent.offset + (at - extent.gpa);
  const std::uint64_t index = place / kStep;
  const std::size_t skip = place % kStep;
  const auto part = into.first(std::min<std::uint64_t>(into.size(), extent.end() - at));
  if (cache_.copy(index, skip, part)) return part.size();
  std::vector<std::byte> plain(chunks_[index].plain);
  if (!unpack(chunks_[index], plain)) return 0;
  cache_.put(index, plain);
  std::ranges::copy(std::span(plain).subspan(skip, part.size()), part.begin());
  return part.size();
}

bool AvmlMemory::unpack(const AvmlChunk& chunk, std::span<std::byte> plain) const {
  std::vector<std::byte> packed(chunk.packed);
  if (file_->copy(chunk.offset, packed) != packed.size()) return false;
  const auto data = std::span<const std::byte>(packed).subspan(kAvmlCrc);
  if (!chunk.is_compressed)
    std::ranges::copy(data, plain.begin());
  else if (!codec::kSnappy.decompress(data, plain))
    return false;
  return masked_crc(plain) == Fields(packed).get<std::uint32_t>(0);
}

void AvmlMemory::write_batch(std::span<WriteRequest> batch) {
  for (WriteRequest& request : batch) request.status = Errc::read_only;
}

}  // namespace microvmi::coredump_connector
