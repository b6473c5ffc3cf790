// SPDX-License-Identifier: Apache-2.0
// The ring on which events come: taken, shared by nobody, left behind, full, given back; and what
// becomes of everything that is not asked for.
#include "unit/driver/xen/events_fixture.hpp"

namespace microvmi::xen {
namespace {

using test::xen::said;

TEST_F(SimulatedXenEvents, TheRingIsTakenWhenSomethingIsAskedFor) {
  EXPECT_EQ(events->next(Wait::at_most(1ms)).error().code, Errc::timed_out);
  EXPECT_EQ(events->release(VcpuId{0}, Cpuid::Filter{}).error().code, Errc::not_found);
  EXPECT_EQ(xen->rings, 0);
  ASSERT_TRUE(events->intercept(VcpuId{0}, Cpuid::Filter{}));
  EXPECT_EQ(xen->rings, 1);
  EXPECT_THAT(xen->on, testing::ElementsAre(std::pair(Monitor::cpuid, 0U)));
  ASSERT_TRUE(events->intercept(VcpuId{1}, Cpuid::Filter{}));
  ASSERT_TRUE(events->release(VcpuId{0}, Cpuid::Filter{}));
  EXPECT_EQ(xen->on.size(), 1U) << "the other vCPU's is still asked for";
  ASSERT_TRUE(events->release(VcpuId{1}, Cpuid::Filter{}));
  EXPECT_TRUE(xen->on.empty());
  events->close();
  EXPECT_FALSE(xen->ring_is_taken);
}

TEST_F(SimulatedXenEvents, AllThatCameWithOneNoticeIsTold) {
  xen->one.vcpus = xen->one.online = 8;
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  std::vector<Message> requests;
  for (std::uint32_t i = 0; i < 8; ++i) requests.push_back(test::xen::cr3_write(i, 0x1000, 0x2000));
  xen->happen(requests);
  EXPECT_EQ(xen->notices, 1U);
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(caught<CrWrite>().vcpu(), VcpuId{i});
  EXPECT_EQ(xen->responses.size(), 8U);
}

TEST_F(SimulatedXenEvents, WhatNobodyAskedForIsAnswered) {
  ASSERT_TRUE(events->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  xen->happen({test::xen::cr3_write(1, 1, 2), test::xen::breakpoint(0, 0x1000, 1)});
  EXPECT_EQ(events->next(Wait::at_most(1ms)).error().code, Errc::timed_out);
  EXPECT_EQ(xen->responses.size(), 2U);
  EXPECT_EQ(xen->traps.size(), 1U) << "the breakpoint is the guest's own";
}

TEST_F(SimulatedXenEvents, WhatIsReleasedBeforeItIsTakenIsAnswered) {
  ASSERT_TRUE(events->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  xen->happen({test::xen::cr3_write(0, 1, 2)});
  ASSERT_TRUE(events->release(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  EXPECT_EQ(xen->responses.size(), 1U);
  EXPECT_EQ(events->next(Wait::at_most(1ms)).error().code, Errc::timed_out);
}

TEST_F(SimulatedXenEvents, OfAnotherVersionIsNoEvent) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  xen->happen({test::xen::of_version(test::xen::cpuid(0, 0, 0), 6)});
  EXPECT_EQ(next().error().code, Errc::protocol);
}

TEST_F(SimulatedXenEvents, ClosingAnswersEverythingAndUndoesAll) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  ASSERT_TRUE(events->intercept(kEveryVcpu, Int3::Filter{}));
  xen->happen({test::xen::cpuid(0, 0x1000, 1)});
  auto taken = caught<Cpuid>();
  xen->happen({test::xen::breakpoint(1, 0x2000, 2)});
  events->close();
  EXPECT_EQ(xen->responses.size(), 2U);
  EXPECT_EQ(xen->traps.size(), 1U);
  EXPECT_TRUE(xen->on.empty());
  EXPECT_FALSE(xen->ring_is_taken);
  EXPECT_EQ(xen->pauses, 0);
  EXPECT_EQ(taken.reply(Proceed{}).error().code, Errc::disconnected);
  EXPECT_EQ(events->intercept(kEveryVcpu, Cpuid::Filter{}).error().code, Errc::disconnected);
}

TEST_F(SimulatedXenEvents, EveryVcpuThatWaitsIsBusy) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  xen->happen({test::xen::cpuid(0, 0, 0), test::xen::cpuid(1, 0, 0)});
  const auto first = caught<Cpuid>();
  const auto second = caught<Cpuid>();
  EXPECT_EQ(next().error().code, Errc::busy);
}

TEST_F(SimulatedXenEvents, AfterARingThatWasLeftBehindNoAnswerGetsThePlaceOfARequest) {
  xen->one.vcpus = xen->one.online = 10;
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  events.reset();  // without close(), as when its program is killed
  events = make();
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  xen->happen({test::xen::cr3_write(0, 1, 2)});
  auto first = caught<CrWrite>();
  xen->happen({test::xen::cr3_write(7, 1, 2), test::xen::cr3_write(8, 1, 2)});
  ASSERT_TRUE(first.reply(Proceed{}));
  EXPECT_EQ(caught<CrWrite>().vcpu(), VcpuId{7});
  EXPECT_EQ(caught<CrWrite>().vcpu(), VcpuId{8});
}

TEST_F(SimulatedXenEvents, ClosingAnswersThoseThatHaveWaitedForAPlaceInTheRing) {
  xen->one.vcpus = xen->one.online = 20;
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  std::vector<Message> requests;
  for (std::uint32_t i = 0; i < 20; ++i) requests.push_back(test::xen::cr3_write(i, 1, 2));
  xen->happen(requests);
  const auto held = caught<CrWrite>();
  events->close();
  EXPECT_EQ(xen->responses.size(), 20U);
  EXPECT_EQ(xen->unanswered, 0);
  EXPECT_FALSE(xen->ring_is_taken);
  EXPECT_EQ(xen->pauses, 0);
}

TEST_F(SimulatedXenEvents, ASecondRequestOfAVcpuDoesNotTakeTheAnswerToItsFirst) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  xen->happen({test::xen::cr3_write(0, 1, 2), test::xen::cr3_write(0, 2, 3)});
  auto second = caught<CrWrite>();
  EXPECT_EQ(second->new_value, 3U);
  EXPECT_EQ(xen->responses.size(), 1U);
  xen->happen({test::xen::cr3_write(0, 3, 4)});
  auto third = caught<CrWrite>();
  EXPECT_EQ(xen->responses.size(), 2U);
  EXPECT_EQ(second.reply(Proceed{}).error().code, Errc::disconnected);
  EXPECT_TRUE(third.reply(Proceed{}));
  EXPECT_EQ(xen->unanswered, 0);
}

TEST_F(SimulatedXenEvents, ADomainThatDiesEndsTheWait) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  xen->gone = true;
  EXPECT_EQ(next().error().code, Errc::disconnected);
  events->close();
  EXPECT_EQ(xen->disabled, 1);
}

TEST_F(SimulatedXenEvents, AWaitIsCancelled) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(events->next(Wait{.stop = stop.get_token()}).error().code, Errc::cancelled);
}

TEST_F(SimulatedXenEvents, ARingOfAnotherProgramIsBusyAndLeftAlone) {
  xen->ring_is_taken = true;
  const auto asked = events->intercept(kEveryVcpu, Cpuid::Filter{});
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::busy);
  EXPECT_THAT(asked.error().message, testing::HasSubstr("domain 5"));
  EXPECT_EQ(xen->disabled, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  // And one of ours that lives.
  xen->ring_is_taken = false;
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  const auto second = make();
  EXPECT_EQ(second->intercept(kEveryVcpu, Cpuid::Filter{}).error().code, Errc::busy);
  EXPECT_EQ(xen->disabled, 0);
  events->close();
  EXPECT_TRUE(second->intercept(kEveryVcpu, Cpuid::Filter{}));
  second->close();
}

TEST_F(SimulatedXenEvents, ARingThatWasLeftBehindIsTakenOverAndItsVcpusGoOn) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  xen->happen({test::xen::cpuid(1, 0, 0)});
  events.reset();  // without close(), as when its program is killed
  xen->responses.clear();
  events = make();
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  EXPECT_EQ(xen->disabled, 2) << "the one that was left, and the one in which all were let go";
  EXPECT_EQ(xen->rings, 3);
  ASSERT_EQ(xen->responses.size(), 2U);
  for (std::uint32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(said(xen->responses[i]).vcpu, i);
    EXPECT_EQ(said(xen->responses[i]).flags, test::xen::kPaused);
    EXPECT_EQ(said(xen->responses[i]).version, 7U);
  }
  xen->happen({test::xen::cr3_write(0, 1, 2)});
  EXPECT_EQ(caught<CrWrite>()->new_value, 2U);
}

}  // namespace
}  // namespace microvmi::xen
