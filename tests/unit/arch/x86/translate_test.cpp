// SPDX-License-Identifier: Apache-2.0
// The walk over hand-made tables: every mode and page size, and the rights of all levels together.
#include "tables.hpp"

namespace microvmi::test {
namespace {

using TranslateTest = Tables;

std::string rights(const Mapping& page) {
  return std::string(page.writable ? "w" : "-") + (page.user ? "u" : "-") +
         (page.executable ? "x" : "-");
}

void expect_page(const Expected<Translation>& found, std::uint64_t gpa, std::uint64_t size) {
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(to_integer(found->gpa), gpa);
  EXPECT_EQ(found->page_size, size);
}

TEST_F(TranslateTest, WithoutPagingAnAddressIsPhysical) {
  const AddressSpace space{.cr3 = 0x1000, .mode = PagingMode::none};
  const auto found = walk(space, 0xfffffff0);
  expect_page(found, 0xfffffff0, 4096);
  EXPECT_TRUE(found->levels().empty());
  EXPECT_EQ(rights(*found), "wux");
  expect_failure(walk(space, 1ULL << 32), Errc::invalid_argument, {"0x100000000", "none"});
}

TEST_F(TranslateTest, FourLevelsDown) {
  // 0x0000_7fab_cdef_0123: indices 0xff, 0x0af, 0x06f, 0x0f0.
  put(0x1000, 0x0ff, 0x2000 | kAll);
  put(0x2000, 0x0af, 0x3000 | kAll);
  put(0x3000, 0x06f, 0x4000 | kAll);
  put(0x4000, 0x0f0, 0x000f'edcb'a987'6000 | kAll);
  const auto found = walk({.cr3 = 0x1000 | 0xfff}, 0x7fabcdef0123);  // low bits: a PCID
  expect_page(found, 0x000f'edcb'a987'6123, 4096);
  ASSERT_EQ(found->levels().size(), 4U);
  const std::array<std::uint64_t, 4> tables{0x17f8, 0x2578, 0x3378, 0x4780};
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_EQ(found->levels()[i].level, 4 - i);
    EXPECT_EQ(to_integer(found->levels()[i].gpa), tables[i]);
  }
  EXPECT_EQ(found->levels()[3].value, 0x000f'edcb'a987'6000 | kAll);
}

TEST_F(TranslateTest, TheUpperHalfIsIndexedByTheSameBits) {
  put(0x1000, 511, 0x2000 | kAll);
  put(0x2000, 510, 0x40000000 | kAll | kPs);
  expect_page(walk(kFour, 0xffff'ffff'8123'4567), 0x41234567, 1 << 30);
}

TEST_F(TranslateTest, LargePages) {
  put_four_levels();
  put(0x2000, 1, 0x0008'0000'0000'0000 | 0xc0000000 | kAll | kPs | 0x1000);  // bit 12: PAT
  put(0x3000, 1, 0x00600000 | kAll | kPs | 0x1000 | kG);
  expect_page(walk(kFour, 0x7fffffff), 0x0008'0000'0000'0000 | 0xffffffff, 1 << 30);
  expect_page(walk(kFour, 0x2abcde), 0x6abcde, 2 << 20);
}

TEST_F(TranslateTest, FiveLevelsDown) {
  put(0x5000, 0x1fe, 0x1000 | kAll);
  put_four_levels();
  put(0x4000, 3, 0x7000 | kAll);
  const AddressSpace space{.cr3 = 0x5000, .mode = PagingMode::five_level};
  const auto found = walk(space, 0xfffe'0000'0000'3008);
  expect_page(found, 0x7008, 4096);
  ASSERT_EQ(found->levels().size(), 5U);
  EXPECT_EQ(found->levels()[0].level, 5U);
  EXPECT_EQ(to_integer(found->levels()[0].gpa), 0x5ff0U);
}

TEST_F(TranslateTest, PaeDown) {
  const AddressSpace space{.cr3 = 0x1020, .mode = PagingMode::pae};  // 32-byte aligned
  put(0x1020, 3, 0x2000 | kP);
  put(0x2000, 1, 0x3000 | kAll);
  put(0x2000, 2, 0xf'0040'0000 | kAll | kPs);
  put(0x3000, 2, 0xf'1234'5000 | kP | kW | kNx);
  const auto small = walk(space, 0xc0202abc);
  expect_page(small, 0xf'1234'5abc, 4096);
  EXPECT_EQ(rights(*small), "w--") << "the topmost entry has no rights to take away";
  EXPECT_EQ(to_integer(small->levels()[0].gpa), 0x1038U);
  expect_page(walk(space, 0xc0412345), 0xf'0041'2345, 2 << 20);
  expect_failure(walk(space, 1ULL << 32), Errc::invalid_argument, {"pae"});
}

TEST_F(TranslateTest, TwoLevelsDown) {
  AddressSpace space{.cr3 = 0x1018, .mode = PagingMode::two_level};
  put32(0x1000, 0x3ff, 0x2000 | kAll);
  put32(0x2000, 0x3fe, 0xfee00000 | kP | kW);
  put32(0x1000, 1, 0x00c00000 | (0x5a << 13) | kAll | kPs);  // PSE-36: bits 39 to 32
  const auto small = walk(space, 0xffffe123);
  expect_page(small, 0xfee00123, 4096);
  EXPECT_EQ(rights(*small), "w-x");
  EXPECT_EQ(to_integer(small->levels()[1].gpa), 0x2ff8U);
  expect_page(walk(space, 0x7fffff), 0x5a00fffffFULL, 4 << 20);
  // Without CR4.PSE bit 7 means nothing, and it is a table.
  space.large_pages = false;
  put32(0x1000, 1, 0x3000 | kAll | kPs);
  put32(0x3000, 0, 0x9000 | kAll);
  expect_page(walk(space, 0x400010), 0x9010, 4096);
}

TEST_F(TranslateTest, EveryLevelMayTakeARightAway) {
  put(0x4000, 1, 0x7000 | kAll);
  for (const std::uint64_t table : {0x1000, 0x2000, 0x3000, 0x4000}) {
    put_four_levels();
    put(0x4000, 1, 0x7000 | kAll);
    ASSERT_EQ(rights(*walk(kFour, 0x1000)), "wux");
    const std::uint64_t index = table == 0x4000 ? 1 : 0;
    const std::uint64_t next = table == 0x4000 ? 0x7000 : table + 0x1000;
    put(table, index, next | kP | kU);
    EXPECT_EQ(rights(*walk(kFour, 0x1000)), "-ux") << table;
    put(table, index, next | kP | kW);
    EXPECT_EQ(rights(*walk(kFour, 0x1000)), "w-x") << table;
    put(table, index, next | kAll | kNx);
    EXPECT_EQ(rights(*walk(kFour, 0x1000)), "wu-") << table;
  }
}

TEST_F(TranslateTest, ATableThatIsItsOwnEntryIsATableLikeAnother) {
  put(0x1000, 0x1ed, 0x1000 | kP | kW);  // as Windows has it
  // Through it four times: the root itself.
  expect_page(walk(kFour, 0xffff'f6fb'7dbe'd000), 0x1000, 4096);
  EXPECT_EQ(walk(kFour, 0xffff'f6fb'7dbe'df68)->levels()[3].value, 0x1000 | kP | kW);
}

TEST_F(TranslateTest, WhatIsMappedToADeviceHasAnAddressToo) {
  put_four_levels();
  put(0x4000, 5, 0xfee00000 | kAll);
  expect_page(walk(kFour, 0x5020), 0xfee00020, 4096);
}

}  // namespace
}  // namespace microvmi::test
