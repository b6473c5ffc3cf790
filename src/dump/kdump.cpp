// SPDX-License-Identifier: Apache-2.0
// Two headers, notes, two bitmaps, a descriptor for each page, then the pages.
#include "dump/kdump.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>

#include "dump/bytes.hpp"
#include "work/parallel.hpp"

namespace microvmi::dumper {
namespace {

static_assert(std::endian::native == std::endian::little, "headers are written as they lie here");

constexpr std::uint32_t kIncomplete = 8;  // makedumpfile's DUMP_DH_COMPRESSED_INCOMPLETE
constexpr std::int32_t kVersion = 6;
constexpr std::uint64_t kMostPages = (std::uint64_t{1} << 32) - 1;  // 16 TiB, as its reader has it
constexpr std::size_t kShare = 16;  // pages that a thread takes at once

// disk_dump_header of makedumpfile's diskdump_mod.h, 64-bit.
struct Header {
  std::array<char, 8> signature{'K', 'D', 'U', 'M', 'P', ' ', ' ', ' '};
  std::int32_t version = kVersion;
  std::array<std::array<char, 65>, 6> utsname{};
  std::array<char, 6> padding{};
  std::int64_t seconds = 0;
  std::int64_t microseconds = 0;
  std::uint32_t status = 0;
  std::int32_t block_size = kPageSize;
  std::int32_t sub_blocks = 0;
  std::uint32_t bitmap_blocks = 0;
  std::uint32_t max_mapnr = 0;
  std::uint32_t total_ram_blocks = 0;
  std::uint32_t device_blocks = 0;
  std::uint32_t written_blocks = 0;
  std::uint32_t current_cpu = 0;
  std::int32_t vcpus = 0;
};
static_assert(sizeof(Header) == 0x1d0 && offsetof(Header, status) == 0x1a8);

// kdump_sub_header, 64-bit.
struct SubHeader {
  std::uint64_t phys_base = 0;
  std::int32_t dump_level = 0;  // nothing is left out
  std::int32_t split = 0;
  std::uint64_t first_page = 0;
  std::uint64_t last_page = 0;
  std::uint64_t vmcoreinfo_at = 0;
  std::uint64_t vmcoreinfo_size = 0;
  std::uint64_t notes_at = 0;
  std::uint64_t notes_size = 0;
  std::uint64_t eraseinfo_at = 0;
  std::uint64_t eraseinfo_size = 0;
  std::uint64_t first_page_64 = 0;
  std::uint64_t last_page_64 = 0;
  std::uint64_t max_mapnr = 0;
};
static_assert(sizeof(SubHeader) == 0x68);

// page_desc of the same.
struct Descriptor {
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  std::uint32_t flags = 0;
  std::uint64_t page_flags = 0;
};
static_assert(sizeof(Descriptor) == 24);

std::uint64_t blocks_of(std::uint64_t size) { return (size + kPageSize - 1) / kPageSize; }

void put_text(std::array<char, 65>& to, const std::string& text) {
  std::ranges::copy(text.substr(0, to.size() - 1), to.begin());
}

// A page as it goes into the file; empty where it is of zeros.
struct Packed {
  std::array<std::byte, kPageSize> bytes;
  std::uint32_t size = 0;
  bool is_compressed = false;
};

class KdumpPacker final : public Packer {
 public:
  KdumpPacker(const codec::Codec& codec, const MemoryMap& map, PartialFile& file,
              std::uint64_t note_size)
      : codec_(codec), file_(file), flag_(&codec == &codec::kZstd ? 0x20 : 0x1) {
    for (const MemoryRegion& region : map.regions) {
      if (region.gpa >= map.end_of_memory()) break;  // firmware
      pages_ = std::max(pages_, to_integer(region.end()) / kPageSize);
      total_ += region.size / kPageSize;
    }
    sub_blocks_ = blocks_of(sizeof(SubHeader) + note_size);
    bitmap_blocks_ = blocks_of((pages_ + 7) / 8);
    bitmap_.resize(bitmap_blocks_ * kPageSize);
    next_descriptor_ = (1 + sub_blocks_ + 2 * bitmap_blocks_) * kPageSize;
    end_ = next_descriptor_ + total_ * sizeof(Descriptor);
    packed_.resize(kChunk / kPageSize);
  }

  std::error_code begin(const Told& told) override { return write_headers(told, kIncomplete); }
  std::error_code finish(const Told& told) override { return write_headers(told, 0); }
  std::uint64_t file_size() const override { return end_; }

  std::error_code store(const Chunk& chunk) override {
    if (const auto why = write_zero_page()) return why;
    const std::uint64_t first = to_integer(chunk.piece.gpa) / kPageSize;
    const std::uint64_t count = chunk.piece.size / kPageSize;
    if (chunk.untouched) return store_zeros(first, count);
    pack(chunk.bytes());
    std::vector<Descriptor> descriptors;
    data_.clear();
    auto gone = chunk.gone.begin();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (gone != chunk.gone.end() && *gone == chunk.piece.gpa + i * kPageSize) {
        ++gone;
        continue;
      }
      set(first + i);
      descriptors.push_back(add(packed_[i]));
    }
    if (const auto why = file_.write(data_, end_)) return why;
    end_ += data_.size();
    return write_descriptors(descriptors);
  }

 private:
  // All pages of zeros are this one.
  std::error_code write_zero_page() {
    if (zero_page_ != 0) return {};
    zero_page_ = end_;
    end_ += kPageSize;
    const std::array<std::byte, kPageSize> zeros{};
    return file_.write(zeros, zero_page_);
  }

  std::error_code store_zeros(std::uint64_t first, std::uint64_t count) {
    constexpr std::uint64_t kAtOnce = 1 << 16;
    const std::vector<Descriptor> some(std::min(count, kAtOnce), zero_descriptor());
    for (std::uint64_t done = 0; done < count;) {
      const std::uint64_t size = std::min(count - done, kAtOnce);
      for (std::uint64_t i = 0; i < size; ++i) set(first + done + i);
      if (const auto why = write_descriptors(std::span(some).first(size))) return why;
      done += size;
    }
    return {};
  }

  [[nodiscard]] Descriptor zero_descriptor() const {
    return {.offset = zero_page_, .size = kPageSize};
  }

  void pack(std::span<const std::byte> bytes) {
    const std::size_t count = bytes.size() / kPageSize;
    work::in_parallel((count + kShare - 1) / kShare, [&](std::size_t which) {
      for (std::size_t i = which * kShare; i < std::min(count, (which + 1) * kShare); ++i)
        pack_page(bytes.subspan(i * kPageSize, kPageSize), packed_[i]);
    });
  }

  void pack_page(std::span<const std::byte> page, Packed& to) const {
    to.size = 0;
    if (is_zero(page)) return;
    // What would not become smaller stays as it is.
    const std::size_t size = codec_.compress(page, std::span(to.bytes).first(kPageSize - 1));
    to.is_compressed = size != 0;
    to.size = static_cast<std::uint32_t>(to.is_compressed ? size : kPageSize);
    if (!to.is_compressed) std::ranges::copy(page, to.bytes.begin());
  }

  Descriptor add(const Packed& page) {
    if (page.size == 0) return zero_descriptor();
    const Descriptor out{
        .offset = end_ + data_.size(), .size = page.size, .flags = page.is_compressed ? flag_ : 0};
    data_.insert(data_.end(), page.bytes.begin(), page.bytes.begin() + page.size);
    return out;
  }

  std::error_code write_descriptors(std::span<const Descriptor> some) {
    const auto why = file_.write(std::as_bytes(some), next_descriptor_);
    next_descriptor_ += some.size_bytes();
    return why;
  }

  void set(std::uint64_t page) {
    bitmap_[page / 8] |= static_cast<std::byte>(1U << page % 8);
    ++written_;
  }

  std::error_code write_headers(const Told& told, std::uint32_t status) {
    const Header head = header(told, status);
    if (const auto why = file_.write(std::as_bytes(std::span(&head, 1)), 0)) return why;
    const SubHeader sub = sub_header(told);
    if (const auto why = file_.write(std::as_bytes(std::span(&sub, 1)), kPageSize)) return why;
    if (const auto why = file_.write(told.notes.bytes, kNotesAt)) return why;
    // Nothing was left out, so that the pages that exist are those that are here.
    const std::uint64_t first = (1 + sub_blocks_) * kPageSize;
    if (const auto why = file_.write(bitmap_, first)) return why;
    return file_.write(bitmap_, first + bitmap_.size());
  }

  [[nodiscard]] Header header(const Told& told, std::uint32_t status) const {
    using namespace std::chrono;
    Header out;
    const std::string text = told.state.vmcoreinfo.value_or("");
    if (!text.empty()) put_text(out.utsname[0], "Linux");
    put_text(out.utsname[2], vmcoreinfo_value(text, "OSRELEASE"));
    put_text(out.utsname[4], told.machine);
    const auto now = system_clock::now().time_since_epoch();
    out.seconds = duration_cast<seconds>(now).count();
    out.microseconds = duration_cast<microseconds>(now).count() % 1'000'000;
    out.status = flag_ | status;
    out.sub_blocks = static_cast<std::int32_t>(sub_blocks_);
    out.bitmap_blocks = static_cast<std::uint32_t>(2 * bitmap_blocks_);
    out.max_mapnr = static_cast<std::uint32_t>(std::min<std::uint64_t>(pages_, UINT32_MAX));
    out.written_blocks = static_cast<std::uint32_t>(written_);
    out.vcpus = static_cast<std::int32_t>(told.state.vcpus.size());
    return out;
  }

  [[nodiscard]] SubHeader sub_header(const Told& told) const {
    SubHeader out;
    const std::string base =
        vmcoreinfo_value(told.state.vmcoreinfo.value_or(""), "NUMBER(phys_base)");
    std::int64_t phys_base = 0;  // below zero where the kernel lies lower than it was linked for
    std::from_chars(base.data(), base.data() + base.size(), phys_base);
    out.phys_base = static_cast<std::uint64_t>(phys_base);
    out.notes_at = kNotesAt;
    out.notes_size = told.notes.bytes.size();
    if (told.notes.vmcoreinfo_size != 0) {
      out.vmcoreinfo_at = kNotesAt + told.notes.vmcoreinfo_at;
      out.vmcoreinfo_size = told.notes.vmcoreinfo_size;
    }
    out.max_mapnr = pages_;
    return out;
  }

  static constexpr std::uint64_t kNotesAt = kPageSize + sizeof(SubHeader);

  const codec::Codec& codec_;
  PartialFile& file_;
  std::uint32_t flag_;
  std::uint64_t pages_ = 0;  // one past the last
  std::uint64_t total_ = 0;  // of descriptors there is room for
  std::uint64_t written_ = 0;
  std::uint64_t sub_blocks_ = 0;
  std::uint64_t bitmap_blocks_ = 0;
  std::uint64_t next_descriptor_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t zero_page_ = 0;
  std::vector<std::byte> bitmap_;
  std::vector<Packed> packed_;
  std::vector<std::byte> data_;
};

}  // namespace

Expected<void> check_kdump(const codec::Codec& codec, const MemoryMap& map) {
  if (!codec.compress)
    return fail(Errc::not_supported,
                fmt::format("{} is not built in, which kdump-{} needs", codec.library, codec.name),
                {}, fmt::format("build microvmi where {} is installed", codec.library));
  if (to_integer(map.end_of_memory()) / kPageSize > kMostPages)
    return fail(Errc::not_supported, "the guest's memory ends at 16 TiB or beyond",
                map.end_of_memory(), "dump as elf");
  return {};
}

std::unique_ptr<Packer> kdump_packer(const codec::Codec& codec, const MemoryMap& map,
                                     PartialFile& file, std::uint64_t note_size) {
  return std::make_unique<KdumpPacker>(codec, map, file, note_size);
}

}  // namespace microvmi::dumper
