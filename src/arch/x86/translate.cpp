// SPDX-License-Identifier: Apache-2.0
// The page-table walk (Intel SDM vol. 3A chapter 4; AMD APM vol. 2 chapter 5 agrees).
//
// No table can make it longer: each level is entered once, and entries that point back to their
// own table, as some guests have them on purpose, are entries like any other.
#include <fmt/format.h>

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
  unsigned entry_size;
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
    Format{{}, 0, 0, 32},
    Format{kTwoLevels, 4, bits(31, 12), 32},
    Format{kPaeLevels, 8, bits(31, 5), 32},
    Format{std::span(kFiveLevels).subspan(1), 8, kFrame, 48},
    Format{kFiveLevels, 8, kFrame, 57},
};

// 64-bit modes: the bits above the address are copies of its highest one.
bool is_address(const Format& format, std::uint64_t gva) {
  if (format.address_bits == 32) return gva >> 32 == 0;
  const auto spare = 64 - format.address_bits;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(gva << spare) >> spare) == gva;
}

Expected<std::uint64_t> read_entry(const PhysicalMemory& memory, unsigned size, Gpa gpa) {
  if (size == 8) [[likely]]
    return memory.read_value<std::uint64_t>(gpa);
  const auto word = memory.read_value<std::uint32_t>(gpa);
  return word ? Expected<std::uint64_t>(*word) : std::unexpected(word.error());
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

class Walk {
 public:
  Walk(const PhysicalMemory& memory, const AddressSpace& space, Gva gva)
      : memory_(memory),
        space_(space),
        format_(kFormats[static_cast<std::size_t>(space.mode)]),
        gva_(gva),
        reserved_(beyond_memory(space) | (space.no_execute ? 0 : kNoExecute)) {}

  Expected<Translation> run() {
    Expected<Translation> out{std::in_place};
    if (!is_address(format_, to_integer(gva_))) return no_address(space_, gva_);
    out->writable = out->user = out->executable = true;
    if (format_.levels.empty()) {
      out->gpa = Gpa{to_integer(gva_)};
      out->page_size = kPageSize;
      return out;
    }
    std::uint64_t table = space_.cr3 & format_.root;
    for (const Level& level : format_.levels) {
      TableEntry& entry = out->entries[out->depth++];
      const std::uint64_t index =
          (to_integer(gva_) >> level.shift) & ((1ULL << level.index_bits) - 1);
      entry.level = level.number;
      entry.gpa = Gpa{table + index * format_.entry_size};
      const auto value = read_entry(memory_, format_.entry_size, entry.gpa);
      if (!value) return unreadable(entry, gva_, value.error());
      entry.value = *value;
      const bool leaf = is_leaf(level, entry.value);
      const std::uint64_t reserved =
          level.reserved | (leaf ? level.reserved_in_page : 0) | (entry_is_wide() ? reserved_ : 0);
      if ((entry.value & kPresent) == 0 || (entry.value & reserved) != 0)
        return unusable(entry, gva_, reserved);
      take_rights(level, entry.value, *out);
      if (leaf) {
        finish(level, entry.value, *out);
        return out;
      }
      table = entry.value & kFrame;
    }
    return out;  // not reached: the last level is always a page
  }

 private:
  // Narrow entries reach 40 bits at most, and only through PSE-36.
  static std::uint64_t beyond_memory(const AddressSpace& space) {
    return space.physical_bits < 52 ? bits(51, space.physical_bits) : 0;
  }

  [[nodiscard]] bool entry_is_wide() const { return format_.entry_size == 8; }

  [[nodiscard]] bool is_leaf(const Level& level, std::uint64_t value) const {
    if (level.number == 1) return true;
    if (!level.leaf_by_bit || (value & kLarge) == 0) return false;
    return space_.mode != PagingMode::two_level || space_.large_pages;
  }

  // The topmost entries of PAE have no rights (table 4-8).
  void take_rights(const Level& level, std::uint64_t value, Mapping& out) const {
    if (space_.mode == PagingMode::pae && level.number == 3) return;
    out.writable = out.writable && (value & kWritable) != 0;
    out.user = out.user && (value & kUser) != 0;
    out.executable = out.executable && (value & kNoExecute) == 0;
  }

  void finish(const Level& level, std::uint64_t value, Mapping& out) const {
    out.page_size = 1ULL << level.shift;
    const std::uint64_t within = out.page_size - 1;
    std::uint64_t base = value & kFrame & ~within;
    if (space_.mode == PagingMode::two_level && level.number == 2)
      base |= (value & bits(20, 13)) << (32 - 13);
    out.gpa = Gpa{base | (to_integer(gva_) & within)};
  }

  const PhysicalMemory& memory_;
  const AddressSpace& space_;
  const Format& format_;
  Gva gva_;
  std::uint64_t reserved_;
};

}  // namespace

Expected<Translation> translate(const PhysicalMemory& memory, const AddressSpace& space, Gva gva) {
  if (space.mode > PagingMode::five_level)
    return fail(Errc::invalid_argument, "there is no such paging mode", gva);
  return Walk(memory, space, gva).run();
}

}  // namespace microvmi
