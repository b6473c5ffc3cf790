// SPDX-License-Identifier: Apache-2.0
// Raw images: the address is the offset, or a list says where each piece belongs.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "connector/coredump/format.hpp"
#include "connector/coredump/mapped_memory.hpp"

namespace microvmi::coredump_connector {
namespace {

// Suffixes that programs give to images without a header.
constexpr std::array<std::string_view, 5> kSuffixes{".raw", ".mem", ".vmem", ".img", ".dd"};

Expected<std::vector<Extent>> ranges_of(const Source& source) {
  std::vector<Extent> out;
  for (const DumpRange& range : source.params.map) {
    if (range.offset > source.size() || range.length > source.size() - range.offset)
      return fail(Errc::invalid_argument,
                  fmt::format("the map has {:#x} bytes from offset {:#x}, but {} has {:#x} bytes",
                              range.length, range.offset, source.name(), source.size()),
                  range.start, "check memflow.coredump.map");
    out.push_back({to_integer(range.start), range.length, range.offset});
  }
  std::ranges::sort(out, {}, &Extent::gpa);
  return out;
}

// VMware leaves the hole below 4 GiB out of a .vmem; the checkpoint that tells it is not there.
void tell_hole(const Source& source) {
  constexpr std::uint64_t kMostLow = 3ULL << 30;
  if (source.params.filepath->extension() == ".vmem" && source.size() > kMostLow &&
      source.params.map.empty())
    source.log(
        "has no .vmss or .vmsn beside it: what is above 3 GiB in it may belong above 4 GiB, "
        "as memflow.coredump.map=0:3G:0,4G:LENGTH:3G has it");
}

class RawFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::raw; }

  bool recognises(const Source& source) const override {
    std::string suffix = source.params.filepath->extension().string();
    std::ranges::transform(suffix, suffix.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return std::ranges::find(kSuffixes, suffix) != kSuffixes.end();
  }

  Expected<Image> open(const Source& source) const override {
    std::vector<Extent> extents{{.gpa = 0, .size = source.size(), .offset = 0}};
    if (!source.params.map.empty()) {
      auto ranges = ranges_of(source);
      if (!ranges) return std::unexpected(ranges.error());
      extents = *std::move(ranges);
    }
    tell_hole(source);
    Image image;
    image.info.facts = {{"format", "raw"}, {"file_size", source.size()}};
    // A map is of whole pages, so what remains has no place in it and is told here.
    if (source.params.map.empty() && source.size() % kPageSize != 0)
      image.info.facts.push_back({"bytes_past_last_page", source.size() % kPageSize});
    image.memory = std::make_unique<MappedMemory>(source.file, std::move(extents));
    return image;
  }
};

}  // namespace

const Format& raw_format() {
  static const RawFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
