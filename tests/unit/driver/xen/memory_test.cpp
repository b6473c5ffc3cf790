// SPDX-License-Identifier: Apache-2.0
// Batches of pages through a simulated Xen: what is mapped together, and holes.
#include "driver/xen/memory.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "unit/driver/xen/simulated_xen.hpp"

namespace microvmi::xen {
namespace {

class SimulatedXenMemory : public testing::Test {
 protected:
  SimulatedXenMemory() {
    xen->last = 1199;
    for (std::uint64_t frame = 0; frame < 1200; ++frame) {
      if (frame == 3) continue;
      auto& page = xen->frames[frame];
      for (std::size_t i = 0; i < kPageSize; ++i)
        page[i] = static_cast<std::byte>(frame * 7 + i * 13);
    }
  }
  [[nodiscard]] std::byte at(std::uint64_t gpa) {
    return xen->frames.at(gpa / kPageSize)[gpa % kPageSize];
  }

  std::shared_ptr<test::xen::SimulatedXen> xen = std::make_shared<test::xen::SimulatedXen>();
  Guest guest{xen, xen->one};
  XenMemory memory{guest};
};

TEST_F(SimulatedXenMemory, AnyStartAndLength) {
  for (const std::uint64_t gpa : {0x4000ULL, 0x4001ULL, 0x4fffULL, 0x7ffdULL})
    for (const std::size_t size : {1UL, 5UL, 4096UL, 4097UL, 2'200'001UL}) {
      std::vector<std::byte> bytes(size);
      ASSERT_TRUE(memory.read(Gpa{gpa}, bytes));
      for (std::size_t i = 0; i < size; i += 97) ASSERT_EQ(bytes[i], at(gpa + i)) << gpa << size;
      ASSERT_EQ(bytes.back(), at(gpa + size - 1));
    }
  EXPECT_EQ(xen->mapped, 0U) << "something is still mapped";
}

TEST_F(SimulatedXenMemory, ManyPagesAreMappedTogetherAndNeighboursOnce) {
  std::vector<std::array<std::byte, 16>> into(64);
  std::vector<ReadRequest> batch;
  for (std::size_t i = 0; i < into.size(); ++i)
    batch.push_back({.gpa = Gpa{0x10000 + i * 0x800}, .into = into[i]});
  memory.PhysicalMemory::read(batch);
  EXPECT_EQ(xen->maps, 1U);
  for (std::size_t i = 0; i < into.size(); ++i) {
    EXPECT_EQ(batch[i].status, Errc::none);
    EXPECT_EQ(into[i][3], at(0x10003 + i * 0x800));
  }
  std::vector<std::byte> whole(1100 * kPageSize);
  ASSERT_TRUE(memory.read(Gpa{0x4000}, whole));
  EXPECT_EQ(xen->maps, 4U);
}

TEST_F(SimulatedXenMemory, AHoleEndsItsRequestAlone) {
  std::array<std::byte, 0x2000> first{};
  std::array<std::byte, 8> second{};
  std::array<ReadRequest, 2> batch{
      {{.gpa = Gpa{0x2800}, .into = first}, {.gpa = Gpa{0x5000}, .into = second}}};
  memory.PhysicalMemory::read(batch);
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, 0x800U);
  EXPECT_EQ(batch[0].failed_at, Gpa{0x3000});
  EXPECT_EQ(batch[1].status, Errc::none);
  EXPECT_EQ(second[0], at(0x5000));
}

TEST_F(SimulatedXenMemory, BehindTheLastAddressOfAProcessorThereIsNothing) {
  constexpr std::uint64_t kEnd = 1ULL << 52;
  for (const std::uint64_t frame : {0UL, (1UL << 40) - 1}) xen->frames[frame].fill(std::byte{7});
  std::array<std::byte, 32> bytes{};
  for (const std::uint64_t gpa : {kEnd, std::uint64_t{1} << 63, ~std::uint64_t{63}}) {
    const auto read = memory.read(Gpa{gpa}, bytes);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::hole);
    EXPECT_FALSE(memory.write(Gpa{gpa}, bytes));
  }
  std::array<std::byte, 8> before{};
  std::array<ReadRequest, 2> batch{
      {{.gpa = Gpa{kEnd - 16}, .into = bytes}, {.gpa = Gpa{kEnd - 8}, .into = before}}};
  memory.PhysicalMemory::read(batch);
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, 16U);
  EXPECT_EQ(batch[0].failed_at, Gpa{kEnd});
  EXPECT_EQ(batch[1].status, Errc::none);
  EXPECT_EQ(before[7], std::byte{7});
}

TEST_F(SimulatedXenMemory, WritesArriveAndNothingElseChanges) {
  const auto before = xen->frames;
  std::vector<std::byte> bytes(5000, std::byte{0xee});
  ASSERT_TRUE(memory.write(Gpa{0x7ffe}, bytes));
  for (std::uint64_t gpa = 0x7000; gpa < 0xa000; ++gpa) {
    const bool written = gpa >= 0x7ffe && gpa < 0x7ffe + bytes.size();
    ASSERT_EQ(at(gpa), written ? std::byte{0xee} : before.at(gpa / kPageSize)[gpa % kPageSize]);
  }
  EXPECT_EQ(memory.write(Gpa{0x3000}, bytes).error().code, Errc::hole);
}

TEST_F(SimulatedXenMemory, OfADomainThatIsGoneNothingIsTold) {
  std::array<std::byte, 8> bytes{};
  xen->gone = true;
  EXPECT_EQ(memory.read(Gpa{0x1000}, bytes).error().code, Errc::disconnected);
}

TEST_F(SimulatedXenMemory, NorOfAnotherThatHasItsNumber) {
  std::array<std::byte, 8> bytes{};
  xen->one.uuid = {9};
  EXPECT_EQ(memory.read(Gpa{0x1000}, bytes).error().code, Errc::disconnected);
  EXPECT_EQ(memory.refresh().error().code, Errc::disconnected);
}

// A mapping makes such a page come, and Xen ends a guest for which there is none.
TEST_F(SimulatedXenMemory, WhereMorePagesHaveToComeThanThereAreNothingIsMapped) {
  std::array<std::byte, 8> bytes{};
  xen->on_demand = 9;
  xen->at_hand = 8;
  EXPECT_EQ(memory.read(Gpa{0x1000}, bytes).error().code, Errc::busy);
  EXPECT_EQ(memory.write(Gpa{0x1000}, bytes).error().code, Errc::busy);
  EXPECT_EQ(xen->maps, 0U);
  xen->on_demand = 8;
  EXPECT_TRUE(memory.read(Gpa{0x1000}, bytes));
  xen->at_hand = 7;  // it was told to have less
  EXPECT_EQ(memory.read(Gpa{0x1000}, bytes).error().code, Errc::busy);
  xen->on_demand = 0;
  EXPECT_TRUE(memory.read(Gpa{0x1000}, bytes));
}

TEST_F(SimulatedXenMemory, ASnapshotOfTheMapStays) {
  xen->one.pages = xen->frames.size();
  const auto map = memory.map();
  EXPECT_EQ(map->regions.size(), 2U);
  EXPECT_EQ(memory.map(), map);
  xen->frames.erase(100);
  ASSERT_TRUE(memory.refresh());
  EXPECT_EQ(map->regions.size(), 2U);
  EXPECT_EQ(memory.map()->regions.size(), 3U);
  EXPECT_GT(memory.map()->generation, map->generation);
}

}  // namespace
}  // namespace microvmi::xen
