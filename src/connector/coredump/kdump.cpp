// SPDX-License-Identifier: Apache-2.0
// kdump-compressed dumps as makedumpfile and QEMU write them: plain, flattened, split.
#include <fmt/format.h>

#include <algorithm>

#include "connector/coredump/elf_notes.hpp"
#include "connector/coredump/kdump_parts.hpp"
#include "connector/coredump/vmcoreinfo.hpp"

namespace microvmi::coredump_connector {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kMostKdumpRegions = 1 << 22;  // of a map; a whole guest of pages and holes
constexpr std::uint64_t kLongestNote = 64 << 10;
constexpr std::uint32_t kZeroPages = 1;  // makedumpfile -d 1: pages of zeros, and no others

std::unexpected<Error> lacks(const Source& source, const codec::Codec& codec) {
  return fail(Errc::not_supported,
              fmt::format("the pages of {} are compressed with {}, which is not built in",
                          source.name(), codec.name),
              {}, fmt::format("build microvmi where {} is installed", codec.library));
}

bool is_x86(const std::string& machine) {
  return machine == "x86_64" ||
         (machine.size() == 4 && machine[0] == 'i' && machine.ends_with("86"));
}

std::string compression_of(std::uint32_t status) {
  const auto codec = kdump_codec(status);
  if (!codec) return fmt::format("unknown ({:#x})", status);
  return *codec ? (*codec)->name : "none";
}

class KdumpFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::kdump; }
  bool recognises(const Source& source) const override {
    return source.has(0, "KDUMP   ") || source.has(0, "makedumpfile\0\0\0\0"sv);
  }

  Expected<Image> open(const Source& source) const override {
    auto set = open_kdump_set(source);
    if (!set) return std::unexpected(set.error());
    const KdumpHeader& header = set->header;
    const Bytes& bytes = set->parts[set->named].bytes;
    const auto codec = kdump_codec(header.status);
    if (codec && *codec && !(*codec)->decompress) return lacks(source, **codec);
    auto dumped = index(source, bytes, header, header.bitmaps + header.bitmap_size);
    if (!dumped) return std::unexpected(dumped.error());
    if (dumped->total() == 0) return fail(Errc::protocol, source.name() + " has no page in it");
    std::optional<PageIndex> existing;
    if (header.dump_level == kZeroPages) {
      auto all = index(source, bytes, header, header.bitmaps);
      if (!all) return std::unexpected(all.error());
      existing = *std::move(all);
    }
    Image image{.memory = nullptr, .info = info_of(source, *set, dumped->total())};
    add_notes(image, source, bytes, header);
    image.memory = std::make_unique<KdumpMemory>(std::move(set->parts), *std::move(dumped),
                                                 std::move(existing), header.block_size,
                                                 is_x86(header.machine));
    return image;
  }

 private:
  static Expected<PageIndex> index(const Source& source, const Bytes& bytes,
                                   const KdumpHeader& header, std::uint64_t offset) {
    auto out = PageIndex::read(bytes, source.name(), offset, header.pages, source.options.wait);
    if (out && out->runs() > kMostKdumpRegions)
      return fail(Errc::not_supported,
                  fmt::format("{} has {} pieces of memory; {} at most are read", source.name(),
                              out->runs(), kMostKdumpRegions));
    return out;
  }

  static GuestInfo info_of(const Source& source, const KdumpSet& set, std::uint64_t pages) {
    const KdumpHeader& header = set.header;
    const Bytes& bytes = set.parts[set.named].bytes;
    GuestInfo info;
    if (header.vcpus != 0) info.vcpus = header.vcpus;
    info.facts = {{"format", "kdump"},
                  {"architecture", header.machine.empty() ? "unknown" : header.machine},
                  {"file_size", source.size()},
                  {"compression", compression_of(header.status)},
                  {"flattened", bytes.is_flattened()},
                  {"dump_level", std::uint64_t{header.dump_level}},
                  {"pages", pages}};
    if (!header.release.empty()) info.facts.push_back({"kernel_release", header.release});
    if (header.seconds != 0) info.facts.push_back({"seconds_since_1970", header.seconds});
    if (header.is_split) info.facts.push_back({"split_into", std::uint64_t{set.parts.size()}});
    add_missing(info, source, set);
    return info;
  }

  static void add_notes(Image& image, const Source& source, const Bytes& bytes,
                        const KdumpHeader& header) {
    Source notes_of = source;
    notes_of.inside = &bytes;
    ElfNotes notes =
        read_elf_notes(notes_of, {{.offset = header.notes.offset, .filesz = header.notes.size}});
    image.vcpus = std::move(notes.registers);
    if (notes.vcpus) image.info.vcpus = notes.vcpus;
    image.info.vm_name = notes.vm_name;
    if (notes.writer) image.info.facts.push_back({"writer", *notes.writer});
    image.info.vmcoreinfo = notes.vmcoreinfo;
    if (!image.info.vmcoreinfo) image.info.vmcoreinfo = text_at(bytes, header.vmcoreinfo);
    if (image.info.vmcoreinfo) add_vmcoreinfo(image.info, *image.info.vmcoreinfo);
  }

  static std::optional<std::string> text_at(const Bytes& bytes, const Place& place) {
    if (place.size == 0 || place.size > kLongestNote) return std::nullopt;
    std::string text(place.size, '\0');
    if (!bytes.copy(place.offset, std::as_writable_bytes(std::span(text)))) return std::nullopt;
    return text.substr(0, text.find('\0'));
  }

  // What is known to be missing without a look at each page; reading it is an error.
  static void add_missing(GuestInfo& info, const Source& source, const KdumpSet& set) {
    const bool is_incomplete = (set.header.status & kKdumpIncomplete) != 0;
    const bool is_cut_off = std::ranges::any_of(
        set.parts, [](const KdumpPart& part) { return part.bytes.is_cut_off(); });
    std::uint64_t next = 0;
    bool has_gap = false;
    for (const KdumpPart& part : set.parts) {
      has_gap = has_gap || part.first > next;
      next = part.last;
    }
    has_gap = has_gap || next < set.header.pages;
    if (has_gap) {
      info.facts.push_back({"parts_missing", true});
      source.log("is split, and not all of its parts are here; memflow.coredump.parts names them");
    }
    if (!is_incomplete && !is_cut_off) return;
    info.facts.push_back({"cut_off", true});
    source.log("was not written to its end: some of its pages cannot be read");
  }
};

}  // namespace

const Format& kdump_format() {
  static const KdumpFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
