// SPDX-License-Identifier: Apache-2.0
// Tables that no processor would follow: the error says which entry it was.
#include "tables.hpp"

namespace microvmi::test {
namespace {

using HostileTablesTest = Tables;

TEST_F(HostileTablesTest, AnEntryThatIsNotPresentIsNamed) {
  const std::array<std::uint64_t, 4> tables{0x1000, 0x2000, 0x3000, 0x4000};
  const std::array<const char*, 4> entries{"level 4 entry at 0x1000", "level 3 entry at 0x2000",
                                           "level 2 entry at 0x3000", "level 1 entry at 0x4000"};
  for (unsigned i = 0; i < 4; ++i) {
    put_four_levels();
    put(0x4000, 0, 0x7000 | kAll);
    ASSERT_TRUE(walk(kFour, 0xabc));
    put(tables[i], 0, 0xdead000 | kW);
    const auto found = walk(kFour, 0xabc);
    expect_failure(found, Errc::hole, {"0xabc", entries[i], "0xdead002", "not present"});
    EXPECT_EQ(std::get<Gva>(found.error().where), Gva{0xabc});
  }
}

struct Reserved {
  PagingMode mode;
  std::uint64_t table;
  std::uint64_t value;
  const char* says;
};

TEST_F(HostileTablesTest, ReservedBitsAreAnError) {
  put32(0x6000, 0, 0x7000 | kAll);
  constexpr std::uint64_t kFourTh = 1ULL << 52;
  for (const Reserved& one : {
           Reserved{PagingMode::four_level, 0x1000, 0x2000 | kAll | kPs, "bits 0x80"},
           Reserved{PagingMode::four_level, 0x2000, 0x2000 | kAll | kPs, "bits 0x2000"},
           Reserved{PagingMode::four_level, 0x2000, (1ULL << 29) | kAll | kPs, "bits 0x20000000"},
           Reserved{PagingMode::four_level, 0x3000, (1ULL << 20) | kAll | kPs, "bits 0x100000"},
           Reserved{PagingMode::five_level, 0x1000, 0x2000 | kAll | kPs, "level 5"},
           Reserved{PagingMode::pae, 0x1000, 0x2000 | kP | kW, "level 3"},
           Reserved{PagingMode::pae, 0x1000, 0x2000 | kP | 0x20, "bits 0x20"},
           Reserved{PagingMode::pae, 0x1000, 0x2000 | kP | kNx, "bits 0x8000000000000000"},
           Reserved{PagingMode::pae, 0x1000, 0x2000 | kP | kFourTh, "bits 0x10000000000000"},
       }) {
    put_four_levels();
    put(0x4000, 0, 0x7000 | kAll);
    put(one.table, 0, one.value);
    expect_failure(walk({.cr3 = 0x1000, .mode = one.mode}, 0), Errc::protocol,
                   {"reserved", one.says});
  }
  put32(0x1000, 0, (1U << 21) | kAll | kPs);
  expect_failure(walk({.cr3 = 0x1000, .mode = PagingMode::two_level}, 0), Errc::protocol,
                 {"level 2 entry at 0x1000 is 0x200087", "bits 0x200000"});
}

TEST_F(HostileTablesTest, Bit63IsReservedWithoutNx) {
  put_four_levels();
  put(0x4000, 0, 0x7000 | kAll | kNx);
  AddressSpace space = kFour;
  EXPECT_TRUE(walk(space, 0));
  space.no_execute = false;
  expect_failure(walk(space, 0), Errc::protocol, {"level 1", "bits 0x8000000000000000"});
}

TEST_F(HostileTablesTest, AddressesAboveThoseOfTheProcessorAreReserved) {
  put_four_levels();
  put(0x4000, 0, (1ULL << 40) | kAll);
  AddressSpace space = kFour;
  EXPECT_TRUE(walk(space, 0));
  space.physical_bits = 40;
  expect_failure(walk(space, 0), Errc::protocol, {"level 1", "bits 0x10000000000"});
}

TEST_F(HostileTablesTest, ATableBeyondMemoryIsAnError) {
  put_four_levels();
  put(0x2000, 0, kEnd | kAll);
  const auto found = walk(kFour, 0x1234);
  expect_failure(found, Errc::hole, {"0x1234", "level 2 entry at 0x10000", "no memory"});
  EXPECT_EQ(std::get<Gpa>(found.error().where), Gpa{kEnd});
  expect_failure(walk({.cr3 = ~0ULL}, 0), Errc::hole, {"level 4", "0xffffffffff000"});
  expect_failure(walk({.cr3 = ~0ULL, .mode = PagingMode::pae}, 0), Errc::hole, {"0xffffffe0"});
}

TEST_F(HostileTablesTest, AddressesThatAreNone) {
  put_four_levels();
  put(0x4000, 0, 0x7000 | kAll);
  for (const std::uint64_t gva :
       {0x0000'8000'0000'0000ULL, 0xffff'7fff'ffff'ffffULL, 0x8000'0000'0000'0000ULL})
    expect_failure(walk(kFour, gva), Errc::invalid_argument, {"no virtual address", "4-level"});
  expect_failure(walk({.cr3 = 0x1000, .mode = PagingMode::five_level}, 1ULL << 56),
                 Errc::invalid_argument, {"5-level"});
  expect_failure(walk({.cr3 = 0x1000, .mode = static_cast<PagingMode>(9)}, 0),
                 Errc::invalid_argument, {"mode"});
}

TEST_F(HostileTablesTest, AFailureOfMemoryIsPassedOn) {
  const auto state = std::make_shared<FakeState>();
  FakeMemory memory(state);
  memory.add(Gpa{0}, kEnd, std::byte{0xff});
  state->alive = false;
  const auto found = translate(memory, {.cr3 = 0x1000}, Gva{0});
  expect_failure(found, Errc::disconnected, {"level 4 entry at 0x1000"});
}

}  // namespace
}  // namespace microvmi::test
