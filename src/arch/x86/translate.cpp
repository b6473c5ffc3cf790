// SPDX-License-Identifier: Apache-2.0
// The page-table walk (Intel SDM vol. 3A chapter 4; AMD APM vol. 2 chapter 5 agrees).
//
// No table can make it longer: each level is entered once, and entries that point back to their
// own table, as some guests have them on purpose, are entries like any other.
#include <fmt/format.h>

#include <type_traits>

#include "microvmi/address_space.hpp"

namespace microvmi {
namespace {

// Intel SDM vol. 3A tables 4-4 to 4-6 (32-bit), 4-8 to 4-12 (PAE), 4-14 to 4-20 (4- and 5-level).
constexpr std::uint64_t kPresent = 1ULL << 0;
constexpr std::uint64_t kWritable = 1ULL << 1;
constexpr std::uint64_t kUser = 1ULL << 2;
constexpr std::uint64_t kLarge = 1ULL << 7;
constexpr std::uint64_t kNoExecute = 1ULL << 63;

// Bits `low` to `high`.
constexpr std::uint64_t bits(unsigned high, unsigned low) {
  return (~0ULL >> (63 - high)) & (~0ULL << low);
}
constexpr std::uint64_t kFrame = bits(51, 12);

struct Level {
  unsigned number;
  unsigned shift;  // the lowest bit of the address that indexes it
  unsigned index_bits;
  bool leaf_by_bit;        // bit 7 makes it a page
  std::uint64_t reserved;  // in every entry
  std::uint64_t reserved_in_page;
};

struct Format {
  std::span<const Level> levels;
  std::uint64_t root;     // the bits of cr3 that are the address
  unsigned address_bits;  // of a virtual address
};

constexpr std::array kTwoLevels{
    // PSE-36 has bits 39 to 32 of the address in 20 to 13 (table 4-4).
    Level{2, 22, 10, true, 0, bits(21, 21)},
    Level{1, 12, 10, false, 0, 0},
};
constexpr std::array kPaeLevels{
    Level{3, 30, 2, false, bits(2, 1) | bits(8, 5) | bits(63, 52), 0},
    Level{2, 21, 9, true, bits(62, 52), bits(20, 13)},
    Level{1, 12, 9, false, bits(62, 52), 0},
};
constexpr std::array kFiveLevels{
    Level{5, 48, 9, false, kLarge, 0},      Level{4, 39, 9, false, kLarge, 0},
    Level{3, 30, 9, true, 0, bits(29, 13)}, Level{2, 21, 9, true, 0, bits(20, 13)},
    Level{1, 12, 9, false, 0, 0},
};
constexpr std::array<Format, 5> kFormats{
    Format{{}, 0, 32},
    Format{kTwoLevels, bits(31, 12), 32},
    Format{kPaeLevels, bits(31, 5), 32},
    Format{std::span(kFiveLevels).subspan(1), kFrame, 48},
    Format{kFiveLevels, kFrame, 57},
};

// 64-bit modes: the bits above the address are copies of its highest one.
bool is_address(const Format& format, std::uint64_t gva) {
  if (format.address_bits == 32) return gva >> 32 == 0;
  const auto spare = 64 - format.address_bits;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(gva << spare) >> spare) == gva;
}

[[gnu::cold]] std::unexpected<Error> no_address(const AddressSpace& space, Gva gva) {
  return fail(
      Errc::invalid_argument,
      fmt::format("{:#x} is no virtual address of {} paging", to_integer(gva), name_of(space.mode)),
      gva);
}

[[gnu::cold]] std::unexpected<Error> unreadable(const TableEntry& entry, Gva gva,
                                                const Error& error) {
  return fail(error.code,
              fmt::format("{:#x} cannot be translated: the level {} entry at {:#x}: {}",
                          to_integer(gva), entry.level, to_integer(entry.gpa), error.message),
              entry.gpa);
}

[[gnu::cold]] std::unexpected<Error> unusable(const TableEntry& entry, Gva gva,
                                              std::uint64_t reserved) {
  const bool present = (entry.value & kPresent) != 0;
  std::string text = fmt::format("{:#x} is not mapped: the level {} entry at {:#x} is {:#x}, ",
                                 to_integer(gva), entry.level, to_integer(entry.gpa), entry.value);
  text += present ? fmt::format("which has the reserved bits {:#x}", entry.value & reserved)
                  : "which is not present";
  return fail(present ? Errc::protocol : Errc::hole, std::move(text), gva);
}

// Bits that no entry of this space may have, beside those of its level. Narrow entries reach 40
// bits at most, and only through PSE-36.
std::uint64_t always_reserved(const AddressSpace& space) {
  if (space.mode == PagingMode::two_level) return 0;
  const std::uint64_t beyond = space.physical_bits < 52 ? bits(51, space.physical_bits) : 0;
  return beyond | (space.no_execute ? 0 : kNoExecute);
}

template <PagingMode Mode>
bool is_page(const AddressSpace& space, const Level& level, std::uint64_t value) {
  if (level.number == 1) return true;
  if (!level.leaf_by_bit || (value & kLarge) == 0) return false;
  return Mode != PagingMode::two_level || space.large_pages;
}

// What all entries on the way have in common.
struct Rights {
  std::uint64_t in_all = ~0ULL;
  std::uint64_t in_any = 0;

  void take(std::uint64_t value) {
    in_all &= value;
    in_any |= value;
  }
};

template <PagingMode Mode>
void finish(const Level& level, const Rights& rights, Gva gva, Translation& out) {
  const std::uint64_t value = out.entries[out.depth - 1U].value;
  out.page_size = 1ULL << level.shift;
  const std::uint64_t within = out.page_size - 1;
  std::uint64_t base = value & kFrame & ~within;
  if (Mode == PagingMode::two_level && level.number == 2)
    base |= (value & bits(20, 13)) << (32 - 13);
  out.gpa = Gpa{base | (to_integer(gva) & within)};
  out.writable = (rights.in_all & kWritable) != 0;
  out.user = (rights.in_all & kUser) != 0;
  out.executable = (rights.in_any & kNoExecute) == 0;
}

// To be copied. Who sees that it is all zeros clears it with REP STOS instead, as g++ 12 does, and
// that takes as long as the rest of a walk.
[[gnu::noinline]] const Translation& nothing_yet() {
  static const Translation nothing;
  return nothing;
}

// One for each mode, so that its format is known to the compiler. One variable is returned, so that
// it is never copied.
template <PagingMode Mode>
Expected<Translation> walk(const PhysicalMemory& memory, const AddressSpace& space, Gva gva) {
  constexpr Format format = kFormats[static_cast<std::size_t>(Mode)];
  using Word = std::conditional_t<Mode == PagingMode::two_level, std::uint32_t, std::uint64_t>;
  const std::uint64_t reserved_in_all = always_reserved(space);
  Expected<Translation> out(nothing_yet());
  Rights rights;
  std::uint64_t table = space.cr3 & format.root;
  for (const Level& level : format.levels) {
    TableEntry& entry = out->entries[out->depth++];
    const std::uint64_t index = (to_integer(gva) >> level.shift) & ((1ULL << level.index_bits) - 1);
    entry.level = level.number;
    entry.gpa = Gpa{table + index * sizeof(Word)};
    Word value;
    const auto read = memory.read(entry.gpa, std::as_writable_bytes(std::span(&value, 1)));
    if (!read) [[unlikely]] {
      out = unreadable(entry, gva, read.error());
      break;
    }
    entry.value = value;
    const bool page = is_page<Mode>(space, level, entry.value);
    const std::uint64_t reserved =
        reserved_in_all | level.reserved | (page ? level.reserved_in_page : 0);
    if ((entry.value & (reserved | kPresent)) != kPresent) [[unlikely]] {
      out = unusable(entry, gva, reserved);
      break;
    }
    // The topmost entries of PAE have no rights (table 4-8).
    if (Mode != PagingMode::pae || level.number != 3) rights.take(entry.value);
    if (page) {
      finish<Mode>(level, rights, gva, *out);
      break;  // the last level always is
    }
    table = entry.value & kFrame;
  }
  return out;
}

Translation unpaged(Gva gva) {
  Translation out;
  out.gpa = Gpa{to_integer(gva)};
  out.page_size = kPageSize;
  out.writable = out.user = out.executable = true;
  return out;
}

}  // namespace

Expected<Translation> translate(const PhysicalMemory& memory, const AddressSpace& space, Gva gva) {
  if (space.mode > PagingMode::five_level)
    return fail(Errc::invalid_argument, "there is no such paging mode", gva);
  if (!is_address(kFormats[static_cast<std::size_t>(space.mode)], to_integer(gva)))
    return no_address(space, gva);
  switch (space.mode) {
    case PagingMode::two_level:
      return walk<PagingMode::two_level>(memory, space, gva);
    case PagingMode::pae:
      return walk<PagingMode::pae>(memory, space, gva);
    case PagingMode::four_level:
      return walk<PagingMode::four_level>(memory, space, gva);
    case PagingMode::five_level:
      return walk<PagingMode::five_level>(memory, space, gva);
    case PagingMode::none:
      break;
  }
  return unpaged(gva);
}

}  // namespace microvmi
