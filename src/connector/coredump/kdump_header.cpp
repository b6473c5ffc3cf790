// SPDX-License-Identifier: Apache-2.0
// Two headers, a block each: makedumpfile's disk_dump_header and kdump_sub_header.
#include "connector/coredump/kdump_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace microvmi::coredump_connector {
namespace {

constexpr std::string_view kKdumpMagic = "KDUMP   ";
constexpr std::int32_t kNewest = 6;
constexpr std::uint64_t kSmallestBlock = 4096;
constexpr std::uint64_t kLargestBlock = 64 << 10;  // the largest page of any Linux
constexpr std::uint64_t kMostSubBlocks = 1 << 20;

// Where the fields are, from the start of the file; makedumpfile's diskdump_mod.h.
constexpr std::size_t kVersionAt = 0x8;
constexpr std::size_t kUtsnameAt = 0xc;
constexpr std::size_t kUtsField = 65;  // sysname, nodename, release, version, machine, domainname
constexpr std::size_t kTimeAt64 = 0x198;
constexpr std::size_t kTimeAt32 = 0x194;
constexpr std::size_t kStatusAt64 = 0x1a8;
constexpr std::size_t kStatusAt32 = 0x19c;
constexpr std::size_t kHeadSize = 0x1d0;  // of the first block; QEMU flattens no more of it

// The fields from the status on, alike in both.
struct Sizes {
  std::uint32_t status;
  std::int32_t block_size;
  std::int32_t sub_blocks;
  std::uint32_t bitmap_blocks;
  std::uint32_t max_mapnr;
  std::uint32_t total_ram_blocks;
  std::uint32_t device_blocks;
  std::uint32_t written_blocks;
  std::uint32_t current_cpu;
  std::int32_t nr_cpus;
};

struct Sub64 {
  std::uint64_t phys_base;
  std::int32_t dump_level;
  std::int32_t split;  // from version 2 on
  std::uint64_t start_pfn;
  std::uint64_t end_pfn;
  Place vmcoreinfo;            // 3
  Place notes;                 // 4
  Place eraseinfo;             // 5
  std::uint64_t start_pfn_64;  // 6
  std::uint64_t end_pfn_64;
  std::uint64_t max_mapnr_64;
};
static_assert(sizeof(Sub64) == 0x68);

struct [[gnu::packed]] Place32 {
  std::uint64_t offset;
  std::uint32_t size;
};
struct [[gnu::packed]] Sub32 {
  std::uint32_t phys_base;
  std::int32_t dump_level;
  std::int32_t split;
  std::uint32_t start_pfn;
  std::uint32_t end_pfn;
  Place32 vmcoreinfo;
  Place32 notes;
  Place32 eraseinfo;
  std::uint64_t start_pfn_64;
  std::uint64_t end_pfn_64;
  std::uint64_t max_mapnr_64;
};
static_assert(sizeof(Sub32) == 0x50);

Sub64 widened(const Sub32& sub) {
  const auto place = [](const Place32& one) { return Place{one.offset, one.size}; };
  return {.phys_base = sub.phys_base,
          .dump_level = sub.dump_level,
          .split = sub.split,
          .start_pfn = sub.start_pfn,
          .end_pfn = sub.end_pfn,
          .vmcoreinfo = place(sub.vmcoreinfo),
          .notes = place(sub.notes),
          .eraseinfo = place(sub.eraseinfo),
          .start_pfn_64 = sub.start_pfn_64,
          .end_pfn_64 = sub.end_pfn_64,
          .max_mapnr_64 = sub.max_mapnr_64};
}

using KdumpHead = std::array<std::byte, kHeadSize>;

template <Plain T>
T at(const KdumpHead& head, std::size_t offset) {
  T value{};
  std::memcpy(&value, head.data() + offset, sizeof(value));
  return value;
}

std::string uts_field(const KdumpHead& head, std::size_t index) {
  std::string text(kUtsField, '\0');
  std::memcpy(text.data(), head.data() + kUtsnameAt + index * kUtsField, kUtsField);
  return text.substr(0, text.find('\0'));
}

bool is_sane(const Sizes& sizes) {
  const auto block = static_cast<std::uint64_t>(sizes.block_size);
  return sizes.block_size > 0 && std::has_single_bit(block) && block >= kSmallestBlock &&
         block <= kLargestBlock && sizes.sub_blocks > 0 &&
         static_cast<std::uint64_t>(sizes.sub_blocks) <= kMostSubBlocks &&
         sizes.bitmap_blocks >= 2 && sizes.bitmap_blocks % 2 == 0;
}

std::unexpected<Error> nonsense(const std::string& name, const std::string& what) {
  return fail(Errc::protocol, name + " is no proper kdump-compressed dump: " + what);
}

// Fields that the version of the file does not have hold whatever came to lie there.
Sub64 cut(Sub64 sub, const KdumpHeader& out) {
  if (out.version < 2) sub.split = 0;
  if (out.version < 3) sub.vmcoreinfo = {};
  if (out.version < 4) sub.notes = {};
  if (out.version >= 6) return sub;
  sub.start_pfn_64 = sub.start_pfn;
  sub.end_pfn_64 = sub.end_pfn;
  sub.max_mapnr_64 = 0;
  return sub;
}

void fill(KdumpHeader& out, const KdumpHead& head, const Sizes& sizes) {
  out.status = sizes.status;
  out.block_size = static_cast<std::uint64_t>(sizes.block_size);
  out.bitmap_size = sizes.bitmap_blocks / 2 * out.block_size;
  out.bitmaps = (1 + static_cast<std::uint64_t>(sizes.sub_blocks)) * out.block_size;
  out.descriptors = out.bitmaps + 2 * out.bitmap_size;
  out.vcpus = sizes.nr_cpus > 0 ? static_cast<std::uint32_t>(sizes.nr_cpus) : 0;
  out.release = uts_field(head, 2);
  out.machine = uts_field(head, 4);
  out.seconds =
      out.bits == 64 ? at<std::uint64_t>(head, kTimeAt64) : at<std::uint32_t>(head, kTimeAt32);
  // All of the first block but what counts the pages of this one file.
  out.identity.assign(reinterpret_cast<const char*>(head.data()),
                      out.bits == 64 ? kStatusAt64 : kStatusAt32);
}

void fill(KdumpHeader& out, const Sub64& sub, std::uint32_t max_mapnr) {
  out.phys_base = sub.phys_base;
  out.dump_level = static_cast<std::uint32_t>(sub.dump_level);
  out.is_split = sub.split != 0;
  out.vmcoreinfo = sub.vmcoreinfo;
  out.notes = sub.notes;
  const std::uint64_t wanted = sub.max_mapnr_64 != 0 ? sub.max_mapnr_64 : max_mapnr;
  out.pages = out.bitmap_size * 8;
  if (wanted != 0) out.pages = std::min(out.pages, wanted);
  out.first_page = out.is_split ? sub.start_pfn_64 : 0;
  out.last_page = out.is_split ? std::min(sub.end_pfn_64, out.pages) : out.pages;
}

}  // namespace

Expected<const codec::Codec*> kdump_codec(std::uint32_t flags) {
  switch (flags & (kKdumpZlib | kKdumpLzo | kKdumpSnappy | kKdumpZstd)) {
    case 0:
      return nullptr;
    case kKdumpZlib:
      return &codec::kZlib;
    case kKdumpLzo:
      return &codec::kLzo;
    case kKdumpSnappy:
      return &codec::kSnappy;
    case kKdumpZstd:
      return &codec::kZstd;
    default:
      return fail(Errc::protocol, fmt::format("flags {:#x} name several compressions", flags));
  }
}

bool is_kdump(const Bytes& bytes) {
  std::array<char, kKdumpMagic.size()> magic{};
  return bytes.get(0, magic) && std::string_view(magic.data(), magic.size()) == kKdumpMagic;
}

namespace {

bool is_elf(const Bytes& bytes) {
  std::array<char, 4> magic{};
  return bytes.is_flattened() && bytes.get(0, magic) && magic == std::array{'\x7f', 'E', 'L', 'F'};
}

}  // namespace

Expected<KdumpHeader> read_kdump_header(const Bytes& bytes, const std::string& name) {
  KdumpHead head{};
  if (!is_kdump(bytes) && is_elf(bytes))
    return fail(Errc::not_supported, name + " is an ELF core that makedumpfile flattened", {},
                "put it together first: makedumpfile -R OUT < FILE");
  if (!is_kdump(bytes)) return nonsense(name, "it does not begin with 'KDUMP   '");
  if (!bytes.copy(0, head)) return fail(Errc::io, name + " is cut off within its header");
  KdumpHeader out;
  out.version = at<std::int32_t>(head, kVersionAt);
  if (out.version < 1 || out.version > kNewest)
    return fail(Errc::not_supported,
                fmt::format("{} has header version {}; this build reads 1 to {}", name, out.version,
                            kNewest));
  auto sizes = at<Sizes>(head, kStatusAt64);
  if (!is_sane(sizes)) {
    out.bits = 32;
    sizes = at<Sizes>(head, kStatusAt32);
  }
  if (!is_sane(sizes))
    return nonsense(name, fmt::format("a block of {} bytes, {} blocks of headers, {} of bitmaps",
                                      sizes.block_size, sizes.sub_blocks, sizes.bitmap_blocks));
  fill(out, head, sizes);
  Sub64 sub{};
  Sub32 narrow{};
  const bool is_there =
      out.bits == 64 ? bytes.get(out.block_size, sub) : bytes.get(out.block_size, narrow);
  if (!is_there) return fail(Errc::io, name + " is cut off within its second header");
  if (out.bits == 32) sub = widened(narrow);
  fill(out, cut(sub, out), sizes.max_mapnr);
  if (out.first_page > out.last_page)
    return nonsense(name,
                    fmt::format("its pages go from {:#x} to {:#x}", out.first_page, out.last_page));
  return out;
}

}  // namespace microvmi::coredump_connector
