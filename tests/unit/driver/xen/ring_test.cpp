// SPDX-License-Identifier: Apache-2.0
// Our end of the ring against the other end as Xen's macros make it.
#include "driver/xen/ring.hpp"

#include <gtest/gtest.h>

#include "driver/xen/answer.hpp"
#include "unit/driver/xen/vendor.hpp"

namespace microvmi::xen {
namespace {

class SimulatedXenRing : public testing::Test {
 protected:
  bool push(std::uint32_t vcpu) { return front.push(test::xen::cpuid(vcpu, 0, 0), notice); }

  alignas(4096) std::array<std::byte, Ring::kPage> page{};
  Ring ring{page.data()};
  test::xen::Front front{page.data()};
  bool notice = false;
};

TEST_F(SimulatedXenRing, IsEmptyAtFirst) {
  const auto none = ring.take();
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

TEST_F(SimulatedXenRing, HoldsAsManyAsXenPutsIn) {
  for (std::uint32_t i = 0; i < Ring::kSlots; ++i) ASSERT_TRUE(push(i)) << i;
  EXPECT_FALSE(push(99)) << "Xen has more places than the driver";
  for (std::uint32_t i = 0; i < Ring::kSlots; ++i) {
    const auto one = ring.take();
    ASSERT_TRUE(one && *one) << i;
    EXPECT_EQ((*one)->vcpu(), i);
    EXPECT_EQ((*one)->version(), kEventVersion);
    EXPECT_EQ((*one)->flags(), kVcpuPaused);
    EXPECT_EQ((*one)->reason(), Reason::cpuid);
  }
  EXPECT_FALSE(*ring.take());
}

TEST_F(SimulatedXenRing, GoesRoundAndRound) {
  for (std::uint32_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(push(i));
    EXPECT_TRUE(notice) << "whoever waits must be told";
    const auto one = ring.take();
    ASSERT_TRUE(one && *one);
    ring.put(release_of(i));
    Message got;
    ASSERT_TRUE(front.pop(got));
    const auto said = test::xen::said(got);
    EXPECT_EQ(said.vcpu, i);
    EXPECT_EQ(said.version, 7U);
    EXPECT_FALSE(front.pop(got));
    EXPECT_FALSE(*ring.take());
  }
}

TEST_F(SimulatedXenRing, CountersThatCannotBeAreRefused) {
  const std::uint32_t much = Ring::kSlots + 1;
  std::memcpy(page.data(), &much, sizeof much);
  const auto taken = ring.take();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::protocol);
}

}  // namespace
}  // namespace microvmi::xen
