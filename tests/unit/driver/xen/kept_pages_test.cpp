// SPDX-License-Identifier: Apache-2.0
// What stays mapped of a simulated Xen's domain, and for how long.
#include "driver/xen/kept_pages.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "driver/xen/memory.hpp"
#include "driver/xen/run_control.hpp"
#include "unit/driver/xen/simulated_xen.hpp"

namespace microvmi::xen {
namespace {

class SimulatedXenKeptPages : public testing::Test {
 protected:
  SimulatedXenKeptPages() {
    for (std::uint64_t frame = 0; frame < 200; ++frame)
      xen->frames[frame].fill(static_cast<std::byte>(frame));
  }
  // Eight bytes of a page, and whether they are right.
  [[nodiscard]] bool reads(std::uint64_t frame, std::uint64_t offset = 16) const {
    return memory->read_value<std::uint64_t>(Gpa{frame * kPageSize + offset}) ==
           frame * 0x0101010101010101;
  }

  std::shared_ptr<test::xen::SimulatedXen> xen = std::make_shared<test::xen::SimulatedXen>();
  Guest guest{xen, xen->one};
  std::unique_ptr<XenMemory> memory = std::make_unique<XenMemory>(guest);
  XenRunControl control{guest, memory->kept()};
};

TEST_F(SimulatedXenKeptPages, OfADomainThatRunsThereAreNone) {
  EXPECT_TRUE(reads(5));
  EXPECT_TRUE(reads(5));
  EXPECT_EQ(xen->maps, 2U);
  EXPECT_EQ(xen->mapped, 0U);
}

TEST_F(SimulatedXenKeptPages, APageIsMappedOncePerPause) {
  for (std::size_t turn = 1; turn < 4; ++turn) {
    ASSERT_TRUE(control.pause());
    for (std::uint64_t offset = 0; offset < kPageSize; offset += 512) EXPECT_TRUE(reads(5, offset));
    EXPECT_EQ(xen->maps, turn);
    EXPECT_EQ(xen->mapped, 1U);
    ASSERT_TRUE(control.resume());
    EXPECT_EQ(xen->mapped, 0U) << "the domain runs and cannot have its page back";
  }
}

TEST_F(SimulatedXenKeptPages, OnlyReadsWithinAPageAreServed) {
  ASSERT_TRUE(control.pause());
  std::array<std::byte, 2 * kPageSize> bytes{};
  ASSERT_TRUE(memory->read(Gpa{0x5000}, bytes));
  ASSERT_TRUE(memory->read(Gpa{0x5ffc}, std::span(bytes).first(8)));
  EXPECT_EQ(xen->mapped, 0U);
  ASSERT_TRUE(memory->read(Gpa{0x5000}, std::span(bytes).first(kPageSize)));
  EXPECT_EQ(xen->mapped, 1U);
  EXPECT_EQ(memory->read(Gpa{0xfff000}, std::span(bytes).first(8)).error().code, Errc::hole);
  EXPECT_EQ(memory->read(Gpa{1ULL << 60}, std::span(bytes).first(8)).error().code, Errc::hole);
  EXPECT_EQ(xen->mapped, 1U);
}

TEST_F(SimulatedXenKeptPages, ThereAreNeverTooManyAndThoseInUseStay) {
  ASSERT_TRUE(control.pause());
  for (std::uint64_t frame = 1; frame < 150; ++frame) {
    EXPECT_TRUE(reads(frame));
    EXPECT_TRUE(reads(0)) << "as a root of page tables is read";
    EXPECT_LE(xen->mapped, KeptPages::kMost);
  }
  EXPECT_EQ(xen->mapped, KeptPages::kMost);
  EXPECT_EQ(xen->maps, 150U);
  memory.reset();
  EXPECT_EQ(xen->mapped, 0U) << "closing lets all go";
}

TEST_F(SimulatedXenKeptPages, ARefreshLooksForThemAgain) {
  ASSERT_TRUE(control.pause());
  EXPECT_TRUE(reads(5));
  xen->frames[5].fill(std::byte{0x77});
  ASSERT_TRUE(memory->refresh());
  EXPECT_EQ(xen->mapped, 0U);
  EXPECT_EQ(memory->read_value<std::uint8_t>(Gpa{0x5000}), 0x77);
  EXPECT_EQ(xen->mapped, 1U);
}

TEST_F(SimulatedXenKeptPages, AnotherToolThatLetsTheDomainRunEndsThem) {
  ASSERT_TRUE(control.pause());
  EXPECT_TRUE(reads(5));
  --xen->pauses;  // as `xl unpause` does, whoever paused it
  xen->frames.erase(5);
  EXPECT_EQ(memory->read_value<std::uint64_t>(Gpa{0x5000}).error().code, Errc::hole);
  EXPECT_TRUE(reads(6));
  EXPECT_EQ(xen->mapped, 0U);
}

TEST_F(SimulatedXenKeptPages, OfADomainThatIsGoneNothingIsTold) {
  ASSERT_TRUE(control.pause());
  EXPECT_TRUE(reads(5));
  xen->gone = true;
  EXPECT_EQ(memory->read_value<std::uint64_t>(Gpa{0x5000}).error().code, Errc::disconnected);
  EXPECT_EQ(xen->mapped, 0U) << "Xen cannot end the domain before";
}

TEST_F(SimulatedXenKeptPages, NorOfAnotherThatHasItsNumber) {
  ASSERT_TRUE(control.pause());
  EXPECT_TRUE(reads(5));
  xen->one.uuid = {9};
  for (const std::uint64_t gpa : {0x5000U, 0x6000U})
    EXPECT_EQ(memory->read_value<std::uint64_t>(Gpa{gpa}).error().code, Errc::disconnected);
  EXPECT_EQ(xen->mapped, 0U);
}

TEST_F(SimulatedXenKeptPages, ThreadsReadWhileAnotherPausesAndResumes) {
  std::atomic<bool> over = false;
  std::atomic<std::size_t> wrong = 0;
  std::vector<std::jthread> readers;
  for (std::uint64_t i = 0; i < 3; ++i)
    readers.emplace_back([this, i, &over, &wrong] {
      for (std::uint64_t k = 0; !over; ++k)
        if (!reads((i * 31 + k) % 120)) ++wrong;
    });
  for (int i = 0; i < 200; ++i) {
    EXPECT_TRUE(control.pause());
    EXPECT_TRUE(memory->refresh());
    EXPECT_TRUE(control.resume());
  }
  over = true;
  readers.clear();
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(xen->mapped, 0U);
}

}  // namespace
}  // namespace microvmi::xen
