// SPDX-License-Identifier: Apache-2.0
// Maps of domains of which a simulated Xen says which frames there are.
#include "driver/xen/map.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "driver/xen/regions.hpp"
#include "unit/driver/xen/simulated_xen.hpp"

namespace microvmi::xen {
namespace {

using test::xen::SimulatedXen;

MemoryRegion region(std::uint64_t first, std::uint64_t count) {
  return {.gpa = Gpa{first * kPageSize}, .size = count * kPageSize};
}

TEST(XenRegions, NeighboursAreJoinedInWhateverOrderTheyCome) {
  Runs runs;
  for (const std::uint64_t frame : {7U, 8U, 3U, 9U, 4U, 1U, 4U}) add_frame(runs, frame);
  EXPECT_EQ(regions_of(runs), (std::vector{region(1, 1), region(3, 2), region(7, 3)}));
  EXPECT_TRUE(regions_of({}).empty());
}

class SimulatedXenMap : public testing::Test {
 protected:
  void add(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) xen->frames[first + i];
    xen->one.pages += count;
  }
  void put(std::uint64_t frame, std::size_t offset, std::uint64_t value) {
    std::memcpy(xen->frames[frame].data() + offset, &value, sizeof value);
  }
  [[nodiscard]] Expected<MemoryMap> build() { return build_map(Guest(xen, xen->one)); }

  std::shared_ptr<SimulatedXen> xen = std::make_shared<SimulatedXen>();
};

TEST_F(SimulatedXenMap, OfAnHvmGuestHasTheFramesThatThereAre) {
  add(0, 0xa0);
  add(0xc0, 0x140);
  add(0xfeff8, 8);
  add(0x100000, 5);
  xen->last = 0x100004;
  const auto map = build();
  ASSERT_TRUE(map);
  EXPECT_TRUE(map->exact);
  EXPECT_EQ(map->regions, (std::vector{region(0, 0xa0), region(0xc0, 0x140), region(0xfeff8, 8),
                                       region(0x100000, 5)}));
}

TEST_F(SimulatedXenMap, TheSearchEndsWithTheLastPage) {
  add(0, 0x100);
  add(0xfeff8, 8);
  ASSERT_TRUE(build());
  EXPECT_LT(xen->asked_types, 0x10000U + 2048) << "it looked at every frame that could be";
}

TEST_F(SimulatedXenMap, BalloonedPagesAreHoles) {
  add(0, 0x100);
  for (std::uint64_t i = 0x40; i < 0x50; ++i) xen->frames.erase(i);
  xen->one.pages -= 0x10;
  EXPECT_EQ(build()->regions, (std::vector{region(0, 0x40), region(0x50, 0xb0)}));
}

TEST_F(SimulatedXenMap, WherePagesComeOnDemandOrNobodyCanBeAskedThereIsABound) {
  add(0, 0x100);
  xen->last = 0xff;
  xen->on_demand = 1;
  const auto on_demand = build();
  ASSERT_TRUE(on_demand);
  EXPECT_FALSE(on_demand->exact);
  EXPECT_EQ(on_demand->regions, std::vector{region(0, 0x100)});
  EXPECT_EQ(xen->asked_types, 0U) << "asking would make them come";
  xen->on_demand = 0;
  xen->knows_types = false;
  EXPECT_FALSE(build()->exact);
}

TEST_F(SimulatedXenMap, OfADomainThatIsGoneThereIsNone) {
  const Guest guest(xen, xen->one);
  xen->gone = true;
  EXPECT_EQ(build_map(guest).error().code, Errc::disconnected);
}

// The places are those of struct arch_shared_info (xen/arch-x86/xen.h): max_pfn at 3088, then the
// list of lists, an old field, cr3 and address of the linear list.
TEST_F(SimulatedXenMap, OfAPvGuestIsItsOwnLinearList) {
  xen->one.hvm = false;
  xen->one.shared_info_frame = 0x900;
  add(0x900, 1);
  put(0x900, 3088, 1000);
  put(0x900, 3088 + 24, 0x500000);
  put(0x900, 3088 + 32, 0x8000000000);  // its second entry of the highest table
  put(0x500, 8, 0x501001);
  put(0x501, 0, 0x502001);
  put(0x502, 0, 0x503001);
  put(0x503, 0, 0x504001);
  put(0x503, 8, 0x505001);
  for (std::uint64_t i = 0; i < 512; ++i) put(0x504, i * 8, 0x2000 + i);
  for (std::uint64_t i = 0; i < 512; ++i) put(0x505, i * 8, i < 100 ? 0x1000 + i : ~0ULL);
  put(0x504, 8 * 5, 0x4000000000002005);  // another domain's
  put(0x505, 8 * 500, 0x3000);            // behind its last one
  const auto map = build();
  ASSERT_TRUE(map);
  EXPECT_TRUE(map->exact);
  EXPECT_EQ(map->regions,
            (std::vector{region(0x1000, 100), region(0x2000, 5), region(0x2006, 506)}));
}

TEST_F(SimulatedXenMap, OfAPvGuestIsItsTree) {
  xen->one.hvm = false;
  xen->one.shared_info_frame = 0x900;
  put(0x900, 3088, 3);
  put(0x900, 3088 + 8, 0x901);
  put(0x901, 0, 0x902);
  put(0x902, 0, 0x903);
  for (std::uint64_t i = 0; i < 10; ++i) put(0x903, i * 8, 0x50 + i);
  EXPECT_EQ(build()->regions, std::vector{region(0x50, 3)});
}

// A page of the list that is everywhere names the same pages again and again.
TEST_F(SimulatedXenMap, OfAPvGuestThatNamesMoreThanItHasIsABound) {
  xen->one.hvm = false;
  xen->one.shared_info_frame = 0x900;
  xen->one.pages = 4;
  xen->one.most_pages = 1U << 20U;
  xen->last = 0xffff;
  put(0x900, 3088, 2'000'000);
  put(0x900, 3088 + 8, 0x901);
  for (std::uint64_t i = 0; i < 512; ++i) put(0x901, i * 8, 0x902);
  for (std::uint64_t i = 0; i < 512; ++i) put(0x902, i * 8, 0x903);
  for (std::uint64_t i = 0; i < 512; ++i) put(0x903, i * 8, 0x50 + 2 * i);
  const auto map = build();
  ASSERT_TRUE(map);
  EXPECT_FALSE(map->exact);
  EXPECT_EQ(map->regions, std::vector{region(0, 0x10000)});
  EXPECT_LT(xen->maps, 300U) << "it read on for as long as the guest told it to";
}

TEST_F(SimulatedXenMap, OfAPvGuestWhoseListIsLongerThanXenLetsItHaveIsABound) {
  xen->one.hvm = false;
  xen->one.shared_info_frame = 0x900;
  xen->one.most_pages = 1000;
  xen->last = 0xfff;
  put(0x900, 3088, (1U << 20U) + 2001);
  put(0x900, 3088 + 8, 0x901);
  EXPECT_FALSE(build()->exact);
  EXPECT_EQ(xen->maps, 1U) << "its list was read";
}

TEST_F(SimulatedXenMap, OfAPvGuestWithoutAListIsABound) {
  xen->one.hvm = false;
  xen->one.shared_info_frame = 0x900;
  xen->last = 0xfff;
  put(0x900, 3088, ~0ULL);
  const auto map = build();
  ASSERT_TRUE(map);
  EXPECT_FALSE(map->exact);
  EXPECT_EQ(map->regions, std::vector{region(0, 0x1000)});
}

}  // namespace
}  // namespace microvmi::xen
