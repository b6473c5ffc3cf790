// SPDX-License-Identifier: Apache-2.0
// LiME images of version 1 (LiME, doc/README.md; src/lime.h): a header before each piece of memory.
#include <fmt/format.h>

#include <array>

#include "connector/coredump/fields.hpp"
#include "connector/coredump/pieces.hpp"

namespace microvmi::coredump_connector {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kLimeMagic = "EMiL";
constexpr std::size_t kLimeHeader = 32;
constexpr std::size_t kLimeRecordsPerLook = 1 << 12;  // between looks at the clock

// The records one after the other, up to the end of the file.
class Records {
 public:
  explicit Records(const Source& source) : source_(source) {}

  Expected<void> read() {
    for (; at_ < source_.size(); ++count_) {
      if (count_ % kLimeRecordsPerLook == 0)
        if (const Errc over = source_.options.wait.over(); over != Errc::none)
          return fail(over, "the records of " + source_.name() + " were not read in time");
      const auto more = next();
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
    }
    return {};
  }

  [[nodiscard]] Pieces& pieces() { return pieces_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t left() const { return source_.size() - at_; }
  [[nodiscard]] bool cut() const { return is_cut_; }

 private:
  // False where nothing follows but padding, or a header that is cut off.
  Expected<bool> next() {
    std::array<std::byte, kLimeHeader> bytes{};
    if (!source_.copy(at_, bytes)) {
      is_cut_ = true;
      return false;
    }
    if (count_ != 0 && bytes == std::array<std::byte, kLimeHeader>{}) return false;
    const Fields head(bytes);
    if (head.text(0, kLimeMagic.size()) != kLimeMagic)
      return fail(Errc::protocol,
                  fmt::format("{} has no header of a LiME record at {:#x}", source_.name(), at_));
    if (const auto version = head.get<std::uint32_t>(4); version != 1)
      return fail(Errc::not_supported, fmt::format("{} has LiME records of version {}; 1 is read",
                                                   source_.name(), version));
    return keep(head.get<std::uint64_t>(8), head.get<std::uint64_t>(16));
  }

  // Both inclusive. An empty record ends one byte before it begins.
  Expected<bool> keep(std::uint64_t first, std::uint64_t last) {
    const std::uint64_t size = last - first + 1;
    const std::uint64_t data = at_ + kLimeHeader;
    if (last == ~std::uint64_t{0} || last + 1 < first)
      return fail(Errc::protocol,
                  fmt::format("{} has a record from {:#x} to {:#x}", source_.name(), first, last));
    const Extent wanted{first, size, data};
    if (!pieces_.add(wanted, source_.size())) return bad_piece(source_, wanted);
    at_ = size > source_.size() - data ? source_.size() : data + size;
    return true;
  }

  const Source& source_;
  Pieces pieces_;
  std::uint64_t at_ = 0;
  std::uint64_t count_ = 0;
  bool is_cut_ = false;
};

class LimeFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::lime; }
  bool recognises(const Source& source) const override { return source.has(0, kLimeMagic); }

  Expected<Image> open(const Source& source) const override {
    Records records(source);
    if (auto done = records.read(); !done) return std::unexpected(std::move(done.error()));
    Image image;
    image.info.facts = {
        {"format", "lime"}, {"file_size", source.size()}, {"records", records.count()}};
    if (records.left() != 0) {
      image.info.facts.push_back({"bytes_past_last_record", records.left()});
      source.log(fmt::format("has {} bytes behind its last record{}", records.left(),
                             records.cut() ? ", too few for one more: it may be cut off" : ""));
    }
    if (auto done = std::move(records.pieces()).finish(image, source); !done)
      return std::unexpected(std::move(done.error()));
    return image;
  }
};

}  // namespace

const Format& lime_format() {
  static const LimeFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
