// SPDX-License-Identifier: Apache-2.0
// Which domain is meant.
#include "driver/xen/selection.hpp"

#include <gmock/gmock.h>

#include "unit/driver/xen/simulated_xen.hpp"

namespace microvmi::xen {
namespace {

using testing::AllOf;
using testing::HasSubstr;

NamedDomain named(std::uint16_t domid, const char* name, std::uint8_t first) {
  return {.domain = {.domid = domid, .uuid = {first}}, .name = name};
}
const std::vector<NamedDomain> kThree{named(1, "win10", 0xaa), named(2, "twin", 0xbb),
                                      named(7, "twin", 0xcc)};
constexpr const char* kSecond = "bb000000-0000-0000-0000-000000000000";

TEST(XenSelection, ByNumberUuidNameOrTheOnlyOne) {
  EXPECT_EQ(choose(kThree, {.domid = 7})->domain.domid, 7);
  EXPECT_EQ(choose(kThree, {.uuid = kSecond})->domain.domid, 2);
  EXPECT_EQ(choose(kThree, {.uuid = "BB000000-0000-0000-0000-000000000000"})->domain.domid, 2);
  EXPECT_EQ(choose(kThree, {.name = "win10"})->domain.domid, 1);
  EXPECT_EQ(choose({kThree.front()}, {})->domain.domid, 1);
}

TEST(XenSelection, SeveralThatFitAreRefusedAndListed) {
  const auto twins = choose(kThree, {.name = "twin"});
  ASSERT_FALSE(twins);
  EXPECT_EQ(twins.error().code, Errc::invalid_argument);
  EXPECT_THAT(twins.error().message, AllOf(HasSubstr("domain 2 (twin)"), HasSubstr("domain 7")));
  EXPECT_THAT(twins.error().hint, HasSubstr("xen.domid"));
  const auto any = choose(kThree, {});
  ASSERT_FALSE(any);
  EXPECT_THAT(any.error().message, AllOf(HasSubstr("3 guests run"), HasSubstr("win10")));
}

TEST(XenSelection, WhatIsNotThereIsToldWithWhatIs) {
  for (const Wanted& wanted : {Wanted{.name = "none"}, Wanted{.domid = 9},
                               Wanted{.uuid = "00000000-0000-0000-0000-000000000000"}}) {
    const auto none = choose(kThree, wanted);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::not_found);
    EXPECT_THAT(none.error().message, HasSubstr("domain 1 (win10)"));
  }
  EXPECT_THAT(choose({}, {}).error().message, HasSubstr("running: none"));
  EXPECT_EQ(choose(kThree, {.domid = 0}).error().code, Errc::invalid_argument);
}

TEST(XenSelection, WhatIsGivenBesideHasToAgree) {
  EXPECT_TRUE(choose(kThree, {.name = "twin", .domid = 7}));
  EXPECT_EQ(choose(kThree, {.name = "win10", .domid = 7}).error().code, Errc::invalid_argument);
  EXPECT_TRUE(choose(kThree, {.name = "twin", .uuid = kSecond}));
  EXPECT_EQ(choose(kThree, {.domid = 1, .uuid = kSecond}).error().code, Errc::invalid_argument);
}

TEST(XenSelection, NamesInErrorsStayOnOneLine) {
  const auto found = choose({named(3, "a\nb\x1b", 1)}, {.name = "none"});
  EXPECT_THAT(found.error().message, HasSubstr("a\\nb\\x1b"));
}

TEST(XenSelection, OwnKeysComeBeforeTheCommonOne) {
  const DriverInitParams both{.common = CommonInitParams{.vm_name = "common"},
                              .xen = XenInitParams{.vm_name = "own"}};
  EXPECT_EQ(wanted_of(both).name, "own");
  EXPECT_EQ(wanted_of({.common = CommonInitParams{.vm_name = "common"}}).name, "common");
  EXPECT_EQ(wanted_of({.xen = XenInitParams{.domid = 4}}).domid, 4);
}

TEST(XenSelection, SimulatedTheControlDomainAndDyingOnesAreNoGuests) {
  test::xen::SimulatedXen xen;
  ASSERT_EQ(guests(xen)->size(), 1U);
  EXPECT_EQ(guests(xen)->front().name, "one");
  xen.one.dying = true;
  EXPECT_TRUE(guests(xen)->empty());
}

}  // namespace
}  // namespace microvmi::xen
