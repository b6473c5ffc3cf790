// SPDX-License-Identifier: Apache-2.0
// Memory maps in both forms: what is understood, and that nothing else is passed over.
#include "connector/pcileech/memmap.hpp"

#include <gmock/gmock.h>

namespace microvmi::pcileech_connector {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<MapRange> ranges_of(std::string_view text) {
  const auto ranges = parse_memmap(text, "map");
  EXPECT_TRUE(ranges) << ranges.error().message;
  return ranges.value_or(std::vector<MapRange>{});
}

std::string error_of(std::string_view text) {
  const auto ranges = parse_memmap(text, "map");
  EXPECT_FALSE(ranges) << text;
  if (ranges) return {};
  EXPECT_EQ(ranges.error().code, Errc::invalid_argument);
  return ranges.error().message;
}

TEST(PcileechMemmap, LinesOfLeechCore) {
  EXPECT_THAT(
      ranges_of("1000 9ffff\n100000 7fffffff\n"),
      ElementsAre(MapRange{0x1000, 0x9f000, 0x1000}, MapRange{0x100000, 0x7ff00000, 0x100000}));
  EXPECT_THAT(
      ranges_of("0000         1000 -       9ffff ->         5000\r\n"
                "0001       100000 -      1fffff ->       200000"),
      ElementsAre(MapRange{0x1000, 0x9f000, 0x5000}, MapRange{0x100000, 0x100000, 0x200000}));
  EXPECT_THAT(ranges_of("0x0 0x9FFFF  # below the hole\n\n   # bad beef cafe\n"),
              ElementsAre(MapRange{0, 0xa0000, 0}));
}

TEST(PcileechMemmap, TheAddressBehindARangeIsTakenForItsLastOneAsLeechCoreDoes) {
  EXPECT_THAT(ranges_of("1000 a0000"), ElementsAre(MapRange{0x1000, 0x9f000, 0x1000}));
}

TEST(PcileechMemmap, AnyOrder) {
  EXPECT_THAT(ranges_of("100000 1fffff\n0 9ffff\n"),
              ElementsAre(MapRange{0, 0xa0000, 0}, MapRange{0x100000, 0x100000, 0x100000}));
}

TEST(PcileechMemmap, TomlOfMemflow) {
  EXPECT_THAT(ranges_of("# of my machine\n[[range]]\nbase = 0x1000\nlength = 0x9f000\n\n"
                        "[[range]]\nbase = 0x100000\nlength = 4096\nreal_base = 0\n"),
              ElementsAre(MapRange{0x1000, 0x9f000, 0x1000}, MapRange{0x100000, 0x1000, 0}));
  EXPECT_THAT(ranges_of("range = [{base = 0, length = 8192}]"),
              ElementsAre(MapRange{0, 0x2000, 0}));
}

TEST(PcileechMemmap, OverlapsAreAnErrorThatNamesBoth) {
  EXPECT_THAT(error_of("0 9ffff\n9f000 fffff\n"),
              HasSubstr("the ranges 0x0-0x9ffff and 0x9f000-0xfffff overlap"));
  EXPECT_THAT(error_of("[[range]]\nbase = 0\nlength = 8192\n[[range]]\nbase = 4096\nlength = 4096"),
              HasSubstr("overlap"));
}

TEST(PcileechMemmap, WhatIsNotUnderstoodIsToldWithItsLine) {
  EXPECT_THAT(error_of("0 9ffff\nRAM 100000 1fffff\n"),
              HasSubstr("map, line 2: 'RAM' is no hexadecimal number"));
  EXPECT_THAT(error_of("0 zz"), HasSubstr("line 1: 'zz' is no hexadecimal number"));
  EXPECT_THAT(error_of("0 11112222333344445"), HasSubstr("is no hexadecimal number"));
  EXPECT_THAT(error_of("1000"), HasSubstr("expects a base"));
  EXPECT_THAT(error_of("1000 1fff 0 0"), HasSubstr("expects a base"));
  EXPECT_THAT(error_of("2000 1fff"), HasSubstr("line 1: the last address 0x1fff is not above"));
  EXPECT_THAT(error_of("0000 9ffff"), HasSubstr("'0000' stands where LeechCore reads a line's"));
  EXPECT_THAT(error_of(""), HasSubstr("there is no range in it"));
  EXPECT_THAT(error_of("[[range]]\nbase = 0\n"),
              HasSubstr("line 1: a range needs base and length"));
  EXPECT_THAT(error_of("[[range]]\nbase = 0\nlength = 4096\nsize = 1"), HasSubstr("no 'size'"));
  EXPECT_THAT(error_of("[[range]]\nbase = -4096\nlength = 4096"), HasSubstr("base is no number"));
  EXPECT_THAT(error_of("[[range]]\nbase = \"0\"\nlength = 4096"), HasSubstr("base is no number"));
  EXPECT_THAT(error_of("[[ranges]]\nbase = 0\nlength = 4096"), HasSubstr("'ranges' stands where"));
  EXPECT_THAT(error_of("range = [1]"), HasSubstr("a range is a table"));
  EXPECT_THAT(error_of("[[range]\nbase = 0"), HasSubstr("map, line 1: "));
  EXPECT_THAT(error_of("range" + std::string(100'000, '[')), HasSubstr("nests deeper"));
}

TEST(PcileechMemmap, OnlyWholePagesOfPhysicalAddresses) {
  EXPECT_THAT(error_of("800 1fff"), HasSubstr("is not of whole pages"));
  EXPECT_THAT(error_of("1000 1ffe"), HasSubstr("is not of whole pages"));
  EXPECT_THAT(error_of("1000 1fff 800"), HasSubstr("is not of whole pages"));
  EXPECT_THAT(error_of("[[range]]\nbase = 0\nlength = 0"), HasSubstr("is empty"));
  EXPECT_THAT(error_of("0 ffffffffffffffff"), HasSubstr("is empty"));
  EXPECT_THAT(error_of("1000 ffffffffffffffff"), HasSubstr("past the last physical address"));
  EXPECT_THAT(error_of("fffffffffffff000 ffffffffffffffff"), HasSubstr("past the last physical"));
  EXPECT_THAT(error_of("0 1fff fffffffffffff000"), HasSubstr("past the last physical address"));
  EXPECT_THAT(ranges_of("ffffffffff000 fffffffffffff"),
              ElementsAre(MapRange{0xffffffffff000, 0x1000, 0xffffffffff000}));
}

TEST(PcileechMemmap, NoMoreRangesThanTheHelperTakes) {
  std::string text;
  for (std::size_t i = 0; i <= kMostRanges; ++i) {
    char line[32];
    std::snprintf(line, sizeof line, "%zx %zx\n", i * 0x2000, i * 0x2000 + 0xfff);
    text += line;
  }
  EXPECT_THAT(error_of(text), HasSubstr("more than 32768 ranges"));
}

TEST(PcileechMemmap, TouchingRangesAreOneRegionAndFirmwareIsRom) {
  const auto map = map_of({{0, 0x1000, 0x5000},
                           {0x1000, 0x1000, 0},
                           {0x4000, 0x1000, 0x4000},
                           {0xfffc0000, 0x40000, 0x9000}},
                          true);
  EXPECT_THAT(map.regions,
              ElementsAre(MemoryRegion{Gpa{0}, 0x2000}, MemoryRegion{Gpa{0x4000}, 0x1000},
                          MemoryRegion{Gpa{0xfffc0000}, 0x40000, MemoryRegion::Kind::rom}));
  EXPECT_EQ(map.end_of_memory(), Gpa{0x5000});
}

}  // namespace
}  // namespace microvmi::pcileech_connector
