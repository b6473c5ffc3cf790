// SPDX-License-Identifier: Apache-2.0
// AVML images of version 2 (microsoft/avml, src/image.rs): a header as LiME's before each block of
// memory, which is packed as snappy's framing format has it, and its packed length behind it.
#include <fmt/format.h>

#include <algorithm>

#include "connector/coredump/avml_memory.hpp"
#include "connector/coredump/fields.hpp"
#include "connector/coredump/format.hpp"
#include "connector/coredump/pieces.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::string_view kAvmlMagic = "AVML";
constexpr std::size_t kAvmlHeader = 32;
constexpr std::size_t kTrailer = 8;  // packed length
constexpr std::size_t kMostChunks = 1 << 22;
constexpr std::size_t kChunksPerLook = 1 << 12;  // between looks at the clock

// Types of chunks, google/snappy, framing_format.txt.
constexpr std::uint8_t kPacked = 0x00;
constexpr std::uint8_t kPlain = 0x01;
constexpr std::uint8_t kFirstSkippable = 0x80;
constexpr std::uint32_t kMostPlain = 65536;

class Index {
 public:
  explicit Index(const Source& source) : source_(source) {}

  Expected<void> read() {
    while (at_ < source_.size() && !is_cut_) {
      const auto more = block();
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
    }
    return {};
  }

  [[nodiscard]] AvmlChunks& chunks() { return out_; }
  [[nodiscard]] std::uint64_t blocks() const { return blocks_; }

 private:
  // False where nothing follows but a header that is cut off.
  Expected<bool> block() {
    std::array<std::byte, kAvmlHeader> bytes{};
    if (!source_.copy(at_, bytes)) return false;
    const Fields head(bytes);
    if (head.text(0, kAvmlMagic.size()) != kAvmlMagic)
      return fail(Errc::protocol,
                  fmt::format("{} has no header of an AVML block at {:#x}", source_.name(), at_));
    if (const auto version = head.get<std::uint32_t>(4); version != 2)
      return fail(Errc::not_supported, fmt::format("{} has AVML blocks of version {}; 2 is read",
                                                   source_.name(), version));
    const auto first = head.get<std::uint64_t>(8);
    const auto last = head.get<std::uint64_t>(16);
    if (last == ~std::uint64_t{0} || last < first)
      return fail(Errc::protocol,
                  fmt::format("{} has a block from {:#x} to {:#x}", source_.name(), first, last));
    at_ += kAvmlHeader;
    ++blocks_;
    if (auto done = stream(first, last + 1); !done) return std::unexpected(done.error());
    return true;
  }

  Expected<void> stream(std::uint64_t at, std::uint64_t end) {
    const std::uint64_t start = at_;
    while (at < end) {
      if (++steps_ % kChunksPerLook == 0)
        if (const Errc over = source_.options.wait.over(); over != Errc::none)
          return fail(over, "the chunks of " + source_.name() + " were not read in time");
      auto size = chunk(at, end);
      if (!size) return std::unexpected(std::move(size.error()));
      if (is_cut_) {
        out_.missing.push_back({at, end - at, 0});
        return {};
      }
      at += *size;
    }
    std::uint64_t packed = 0;
    if (!source_.get(at_, packed)) {
      is_cut_ = true;
      return {};
    }
    if (packed != at_ - start)
      source_.log(
          fmt::format("says that a block has {} packed bytes, and has {}", packed, at_ - start));
    at_ += kTrailer;
    return {};
  }

  // How much of guest memory it holds.
  Expected<std::uint64_t> chunk(std::uint64_t gpa, std::uint64_t end) {
    std::array<std::byte, 4> bytes{};
    const bool has_head = source_.copy(at_, bytes);
    const auto word = Fields(bytes).get<std::uint32_t>(0);
    const auto type = static_cast<std::uint8_t>(word & 0xFFU);
    const std::uint32_t size = word >> 8U;
    const std::uint64_t data = at_ + bytes.size();
    if (!has_head || size > source_.size() - data) {
      is_cut_ = true;
      return 0;
    }
    at_ = data + size;
    if (type >= kFirstSkippable) return 0;  // the name of the format, padding
    if (type != kPacked && type != kPlain)
      return nonsense(fmt::format("a chunk of type {:#x}", type), data);
    if (size < kAvmlCrc) return nonsense("a chunk without a checksum", data);
    AvmlChunk one{.gpa = gpa,
                  .offset = data,
                  .packed = size,
                  .plain = size - kAvmlCrc,
                  .is_compressed = type == kPacked};
    if (one.is_compressed) one.plain = plain_size(data + kAvmlCrc, size - kAvmlCrc);
    if (one.plain == 0 || one.plain > kMostPlain || one.plain > end - gpa)
      return nonsense(fmt::format("a chunk of {} bytes", one.plain), data);
    if (out_.chunks.size() == kMostChunks)
      return fail(Errc::not_supported,
                  fmt::format("{} has more than {} chunks", source_.name(), kMostChunks));
    out_.chunks.push_back(one);
    return one.plain;
  }

  // The number that a snappy stream begins with: seven bits in each byte, the lowest ones first.
  [[nodiscard]] std::uint32_t plain_size(std::uint64_t at, std::uint32_t room) const {
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < std::min(room, 3U); ++i) {
      std::byte one{};
      if (!source_.get(at + i, one)) return 0;
      out |= (static_cast<std::uint32_t>(one) & 0x7FU) << 7 * i;
      if ((one & std::byte{0x80}) == std::byte{}) return out;
    }
    return 0;
  }

  [[nodiscard]] std::unexpected<Error> nonsense(const std::string& what, std::uint64_t at) const {
    return fail(Errc::protocol, fmt::format("{} has {} at {:#x}", source_.name(), what, at));
  }

  const Source& source_;
  AvmlChunks out_;
  std::uint64_t at_ = 0;
  std::uint64_t blocks_ = 0;
  std::size_t steps_ = 0;
  bool is_cut_ = false;
};

class AvmlFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::avml; }
  bool recognises(const Source& source) const override { return source.has(0, kAvmlMagic); }

  Expected<Image> open(const Source& source) const override {
    if (!codec::kSnappy.decompress)
      return fail(Errc::not_supported, source.name() +
                                           " is an AVML image, and this build is "
                                           "without " +
                                           codec::kSnappy.library);
    Index index(source);
    if (auto done = index.read(); !done) return std::unexpected(std::move(done.error()));
    if (index.chunks().chunks.empty())
      return fail(Errc::io, source.name() + " is cut off before its first memory");
    Image image;
    image.info.facts = {{"format", "avml"},
                        {"file_size", source.size()},
                        {"blocks", index.blocks()},
                        {"truncated", !index.chunks().missing.empty()}};
    if (!index.chunks().missing.empty()) {
      image.info.facts.push_back({"missing_bytes", sum(index.chunks().missing)});
      image.info.facts.push_back({"first_missing", index.chunks().missing.front().gpa});
    }
    auto memory = AvmlMemory::make(source, std::move(index.chunks()));
    if (!memory) return std::unexpected(std::move(memory.error()));
    const std::uint64_t bytes = (*memory)->bytes();
    image.memory = *std::move(memory);
    if (image.memory->map()->regions.empty())
      return fail(Errc::protocol, source.name() + " has no whole page of memory in it");
    tell_parts_of_pages(image, bytes);
    return image;
  }
};

}  // namespace

const Format& avml_format() {
  static const AvmlFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
