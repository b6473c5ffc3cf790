// SPDX-License-Identifier: Apache-2.0
// Guests that give pages back and get them again: what is not there is a hole, and the map says so.
#include <array>
#include <numeric>
#include <sstream>

#include "support/soon.hpp"
#include "xen/open.hpp"
#include "xen/reservation.hpp"

namespace microvmi::test::xen {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kFirst = 0xd00;  // behind what the tiny guest stamps
constexpr std::uint64_t kCount = 0x100;
constexpr Gpa kPlace{kFirst * kPageSize};

class XenBalloonTest : public XenTest {
 protected:
  [[nodiscard]] Outcome<Reservation> reservation() { return Reservation::open(domain().id()); }

  [[nodiscard]] std::uint64_t pages() {
    for (const Fact& fact : vm().info().facts)
      if (fact.name == "pages") return std::get<std::uint64_t>(fact.value);
    ADD_FAILURE() << "no fact tells the number of pages";
    return 0;
  }

  [[nodiscard]] Errc status_at(Gpa gpa) {
    std::array<std::byte, 8> bytes{};
    std::array batch{ReadRequest{.gpa = gpa, .into = bytes}};
    memory().read(batch);
    return batch[0].status;
  }

  // Of the frames in the map Xen's own library can map every one.
  void expect_no_holes(const MemoryMap& map) {
    for (const MemoryRegion& region : map.regions)
      for (std::uint64_t at = 0; at < region.size; at += 512 * kPageSize) {
        std::vector<std::uint64_t> frames(
            std::min<std::uint64_t>(512, (region.size - at) / kPageSize));
        std::iota(frames.begin(), frames.end(), to_integer(region.gpa + at) / kPageSize);
        const auto holes = domain().bare().holes(frames);
        ASSERT_EQ(std::ranges::count(holes, true), 0) << std::hex << frames.front();
      }
  }

  static std::uint64_t size_of(const MemoryMap& map) {
    std::uint64_t sum = 0;
    for (const MemoryRegion& region : map.regions) sum += region.size;
    return sum / kPageSize;
  }
};

TEST_F(XenBalloonTest, PagesThatAreTakenAreHolesAndComeBack) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_another("ballooned"));
  const auto taker = reservation();
  ASSERT_TRUE(taker) << taker.error();
  const auto before = memory().map();
  EXPECT_TRUE(before->exact);
  EXPECT_TRUE(before->find(kPlace));
  const std::uint64_t had = pages();
  ASSERT_TRUE(taker->take(kFirst, kCount));
  EXPECT_EQ(status_at(kPlace), Errc::hole) << "whatever the map says";
  EXPECT_EQ(status_at(kPlace + kCount * kPageSize), Errc::none);
  EXPECT_EQ(pages(), had - kCount);
  ASSERT_TRUE(memory().refresh());
  const auto without = memory().map();
  EXPECT_TRUE(without->exact);
  EXPECT_GT(without->generation, before->generation);
  EXPECT_FALSE(without->find(kPlace));
  EXPECT_FALSE(without->find(kPlace + (kCount * kPageSize - 1)));
  EXPECT_TRUE(without->find(Gpa{to_integer(kPlace) - 1}));
  EXPECT_TRUE(without->find(kPlace + kCount * kPageSize));
  EXPECT_TRUE(before->find(kPlace)) << "a snapshot has changed";
  expect_no_holes(*without);
  EXPECT_EQ(size_of(*without), pages());
  ASSERT_TRUE(taker->give(kFirst, kCount));
  ASSERT_TRUE(memory().refresh());
  EXPECT_EQ(memory().map()->regions, before->regions);
  EXPECT_EQ(status_at(kPlace), Errc::none);
  EXPECT_TRUE(alive());
}

// What small reads keep mapped while the guest is paused must not hide that a page was taken.
TEST_F(XenBalloonTest, WhatIsKeptMappedEndsWithThePauseAndWithARefresh) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_another("ballooned"));
  const auto taker = reservation();
  ASSERT_TRUE(taker) << taker.error();
  ASSERT_TRUE(vm().pause());
  EXPECT_EQ(status_at(kPlace), Errc::none);
  ASSERT_TRUE(taker->take(kFirst, 1));
  ASSERT_TRUE(memory().refresh());
  EXPECT_EQ(status_at(kPlace), Errc::hole);
  EXPECT_EQ(status_at(kPlace + kPageSize), Errc::none);
  ASSERT_TRUE(taker->take(kFirst + 1, 1));
  ASSERT_TRUE(vm().resume());
  EXPECT_EQ(status_at(kPlace + kPageSize), Errc::hole);
  EXPECT_TRUE(alive());
}

// maxmem above memory: until its balloon has given the rest back, Xen ends a guest for which more
// pages have to come than there are, and to map one makes it come.
TEST_F(XenBalloonTest, AGuestThatReadingCouldEndIsNotRead) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_another("on_demand", "vcpus=1 maxmem=48"));
  EXPECT_FALSE(memory().map()->exact);
  EXPECT_GE(to_integer(memory().map()->end_of_memory()), 0x3000000U);
  const std::uint64_t start = domain().said("stamp_start");
  std::vector<std::byte> bytes(0x100000);
  const auto refused = memory().read(Gpa{start}, bytes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::busy) << to_text(refused.error());
  EXPECT_EQ(memory().write(Gpa{start}, std::span(bytes).first(8)).error().code, Errc::busy);
  const auto giver = reservation();
  ASSERT_TRUE(giver) << giver.error();
  ASSERT_TRUE(giver->take(0x1000, 0x2000));  // 32 MiB behind the 16 that it shall have
  const auto read = memory().read(Gpa{start}, bytes);
  ASSERT_TRUE(read) << to_text(read.error());
  EXPECT_TRUE(bytes == domain().stamps(start, bytes.size()));
  for (std::uint64_t at = 0; at < 0x1000000; at += bytes.size())
    EXPECT_NE(status_at(Gpa{at}), Errc::busy) << std::hex << at;
  EXPECT_EQ(status_at(Gpa{0x1000000}), Errc::hole);
  EXPECT_TRUE(alive()) << shell("xl dmesg | tail -5").output;
}

// Linux with its own balloon, which inside.sh gave less memory than it may have.
TEST_F(XenBalloonTest, APvGuestThatGivesPagesBack) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  ASSERT_NO_FATAL_FAILURE(use(kLinux));
  const auto before = memory().map();
  EXPECT_TRUE(before->exact);
  const std::uint64_t had = pages();
  EXPECT_EQ(size_of(*before), had);
  constexpr std::uint64_t kLess = 0x800;  // 8 MiB
  ASSERT_EQ(shell("xl mem-set linux 88").status, 0);
  EXPECT_TRUE(soon([&] { return pages() <= had - kLess; }, 100ms)) << pages();
  ASSERT_TRUE(vm().pause());
  ASSERT_TRUE(memory().refresh());
  const auto without = memory().map();
  EXPECT_TRUE(without->exact);
  EXPECT_EQ(size_of(*without), pages());
  expect_no_holes(*without);
  ASSERT_TRUE(vm().resume());
  EXPECT_EQ(shell("xl mem-set linux 96").status, 0);
  EXPECT_TRUE(soon([&] { return pages() >= had; }, 100ms)) << pages();
}

}  // namespace
}  // namespace microvmi::test::xen
