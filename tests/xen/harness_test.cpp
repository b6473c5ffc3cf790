// SPDX-License-Identifier: Apache-2.0
// What the other tests compare with: the guests say it, and Xen's own library sees the same.
#include <gmock/gmock.h>

#include "xen/domain.hpp"

namespace microvmi::test::xen {
namespace {

class XenHarnessTest : public testing::TestWithParam<const char*> {};

TEST_P(XenHarnessTest, TheTinyGuestCountsAndHasItsStamps) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  const auto domain = Domain::find(GetParam());
  ASSERT_TRUE(domain) << domain.error();
  ASSERT_EQ(domain->said("ready"), 1U);
  const Counters before = domain->counters();
  ASSERT_TRUE(domain->counts_on());
  const Counters after = domain->counters();
  for (const auto member : {&Counters::cr3_writes, &Counters::msr_writes, &Counters::cpuids,
                            &Counters::cr4_writes, &Counters::cr0_writes, &Counters::table_reads,
                            &Counters::requests, &Counters::debugs, &Counters::breakpoints})
    EXPECT_GT(after.*member, before.*member);
  const std::uint64_t gpa = domain->said("stamp_start") + 0x1ff8;
  EXPECT_EQ(domain->bare().read(gpa, 5000), domain->stamps(gpa, 5000));
  EXPECT_FALSE(domain->paused());
}

INSTANTIATE_TEST_SUITE_P(Xen, XenHarnessTest, testing::Values(kTiny, kHvm),
                         [](const auto& name) { return std::string(name.param); });

TEST(XenHarness, TheLinuxGuestSpeaks) {
  MICROVMI_NEEDS_DOMAIN(kLinux);
  EXPECT_THAT(linux_said("version"), testing::StartsWith("Linux version "));
  EXPECT_THAT(linux_said("text at"), testing::MatchesRegex("0x[0-9a-f]+: boot .*"));
}

TEST(XenHarness, AnotherGuestComesAndGoes) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  std::uint16_t id = 0;
  {
    const auto domain = Domain::create("another");
    ASSERT_TRUE(domain) << domain.error();
    id = domain->id();
    EXPECT_GT(domain->counters().ticks + 1, 0U);
  }
  EXPECT_NE(shell("xl list " + std::to_string(id)).status, 0);
}

}  // namespace
}  // namespace microvmi::test::xen
