// SPDX-License-Identifier: Apache-2.0
// Events on a ring of our own: the software breakpoint, which TCG never delivers, page access,
// which AMD does not have, and what each reply becomes.
#include "unit/driver/xen/events_fixture.hpp"

namespace microvmi::xen {
namespace {

using test::xen::said;

TEST_F(SimulatedXenEvents, ABreakpointIsGivenToTheGuestOrKeptFromIt) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Int3::Filter{}));
  xen->happen({test::xen::breakpoint(1, 0xffffffff81000123, 0x1234)});
  {
    auto hit = caught<Int3>();
    EXPECT_EQ(hit.vcpu(), VcpuId{1});
    EXPECT_EQ(hit->gva, Gva{0xffffffff81000123});
    EXPECT_EQ(hit->gpa, Gpa{0x1234123});
    EXPECT_EQ(hit->length, 1);
    EXPECT_TRUE(xen->responses.empty());
    ASSERT_TRUE(hit.reply(Proceed{}));
  }
  ASSERT_EQ(xen->traps.size(), 1U);
  EXPECT_EQ(xen->traps[0].vcpu, 1U);
  EXPECT_EQ(xen->traps[0].vector, 3);
  EXPECT_EQ(xen->traps[0].type, 6);
  EXPECT_EQ(xen->traps[0].length, 1);
  ASSERT_EQ(xen->responses.size(), 1U);
  EXPECT_EQ(said(xen->responses[0]).vcpu, 1U);
  EXPECT_EQ(said(xen->responses[0]).flags, test::xen::kPaused);
  EXPECT_EQ(said(xen->responses[0]).reason, 6U);
  xen->happen({test::xen::breakpoint(0, 0x1000, 1)});
  ASSERT_TRUE(caught<Int3>().reply(Retry{}));
  EXPECT_EQ(xen->traps.size(), 1U);
  EXPECT_EQ(xen->responses.size(), 2U);
  xen->happen({test::xen::breakpoint(0, 0x1000, 1)});
  {
    const auto dropped = caught<Int3>();
  }
  EXPECT_EQ(xen->traps.size(), 2U) << "what is dropped is Proceed";
  EXPECT_EQ(xen->responses.size(), 3U);
}

TEST_F(SimulatedXenEvents, ABreakpointIsSteppedOverByWritingRip) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Int3::Filter{}));
  xen->happen({test::xen::breakpoint(0, 0x1000, 1)});
  auto hit = caught<Int3>();
  Registers wanted;
  wanted.set(Reg::rip, 0x1001);
  ASSERT_TRUE(events->write(0, wanted));
  EXPECT_EQ((*events->written(0))[Reg::rip], 0x1001U);
  ASSERT_TRUE(hit.reply(Retry{}));
  EXPECT_EQ(said(xen->responses.at(0)).flags, test::xen::kPaused | test::xen::kSetsRegisters);
  EXPECT_EQ(said(xen->responses[0]).rip, 0x1001U);
  EXPECT_FALSE(events->write(0, wanted)) << "it waits no more";
}

TEST_F(SimulatedXenEvents, AWriteIsGivenAnotherValueThroughTheContext) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, CrWrite::Filter{Reg::cr3}));
  ASSERT_TRUE(events->intercept(kEveryVcpu, MsrWrite::Filter{0xc0000082}));
  ASSERT_TRUE(events->intercept(kEveryVcpu, MsrWrite::Filter{0x10}));
  xen->happen({test::xen::cr3_write(0, 0x1000, 0x2000)});
  ASSERT_TRUE(caught<CrWrite>().reply(SetValue{0x5000}));
  EXPECT_EQ(written.at(0).second[Reg::cr3], 0x5000U);
  EXPECT_EQ(said(xen->responses.at(0)).flags, test::xen::kPaused | test::xen::kDenies);
  xen->happen({test::xen::msr_write(1, 0xc0000082, 0xaaaa, 0xbbbb)});
  auto lstar = caught<MsrWrite>();
  EXPECT_EQ(lstar->old_value, 0xaaaaU);
  EXPECT_EQ(lstar->new_value, 0xbbbbU);
  ASSERT_TRUE(lstar.reply(Refuse{}));
  EXPECT_EQ(written.at(1).first, 1U);
  EXPECT_EQ(written.at(1).second[Reg::lstar], 0xaaaaU);
  xen->happen({test::xen::msr_write(0, 0x10, 1, 2)});
  auto tsc = caught<MsrWrite>();
  EXPECT_EQ(tsc.reply(SetValue{3}).error().code, Errc::not_supported);
  EXPECT_EQ(xen->responses.size(), 2U) << "nothing is sent, and another answer may be";
  ASSERT_TRUE(tsc.reply(Proceed{}));
  EXPECT_EQ(written.size(), 2U);
}

TEST_F(SimulatedXenEvents, CpuidIsEmulatedOrGivenAResult) {
  ASSERT_TRUE(events->intercept(kEveryVcpu, Cpuid::Filter{}));
  xen->happen({test::xen::cpuid(0, 0x1000, 0x40000000)});
  auto first = caught<Cpuid>();
  EXPECT_EQ(first->leaf, 0x40000000U);
  EXPECT_EQ(first->subleaf, 7U);
  ASSERT_TRUE(first.reply(Proceed{}));
  EXPECT_EQ(said(xen->responses.at(0)).flags, test::xen::kPaused | test::xen::kEmulates);
  xen->happen({test::xen::cpuid(0, 0x1000, 1)});
  ASSERT_TRUE(caught<Cpuid>().reply(CpuidResult{11, 22, 33, 44}));
  EXPECT_EQ(said(xen->responses.at(1)).flags, test::xen::kPaused | test::xen::kSetsRegisters);
  EXPECT_EQ(said(xen->responses[1]).rax, 11U);
  EXPECT_EQ(said(xen->responses[1]).rip, 0x1002U) << "behind the instruction";
}

TEST_F(SimulatedXenEvents, PageAccessIsToldAndAnswered) {
  EXPECT_EQ(events->intercept(kEveryVcpu, PageAccess::Filter{}).error().code, Errc::not_supported);
  EXPECT_EQ(xen->rings, 0) << "what is refused takes no ring";
  xen->has_access = true;
  ASSERT_TRUE(events->intercept(kEveryVcpu, PageAccess::Filter{}));
  xen->happen({test::xen::page_access(0, 0x77, 0x123, 0xabc123)});
  auto hit = caught<PageAccess>();
  EXPECT_EQ(hit->gpa, Gpa{0x77123});
  EXPECT_EQ(hit->gva, Gva{0xabc123});
  EXPECT_EQ(hit->access, (Access{.read = false, .write = true, .execute = false}));
  ASSERT_TRUE(hit.reply(Proceed{}));
  EXPECT_EQ(said(xen->responses.at(0)).flags, test::xen::kPaused | test::xen::kEmulates);
  xen->happen({test::xen::page_access(0, 0x77, 0, 0)});
  ASSERT_TRUE(caught<PageAccess>().reply(Retry{}));
  EXPECT_EQ(said(xen->responses.at(1)).flags, test::xen::kPaused);
}

TEST_F(SimulatedXenEvents, WhatTheEmulatorDoesNotKnowIsRefusedToTheGuestOrTriedAgain) {
  ASSERT_TRUE(events->intercept(VcpuId{1}, EmulateUnimplemented::Filter{}));
  EXPECT_THAT(xen->on, testing::ElementsAre(std::pair(Monitor::emul_unimplemented, 0U)));
  xen->happen({test::xen::not_emulated(1, 0x1000)});
  {
    auto event = caught<EmulateUnimplemented>();
    EXPECT_EQ(event.vcpu(), VcpuId{1});
    EXPECT_EQ(event->gva, Gva{0x1000});
    ASSERT_TRUE(event.reply(Proceed{}));
  }
  ASSERT_EQ(xen->traps.size(), 1U);
  EXPECT_EQ(xen->traps[0].vcpu, 1U);
  EXPECT_EQ(xen->traps[0].vector, 6) << "#UD";
  EXPECT_EQ(xen->traps[0].type, 3) << "a hardware exception";
  EXPECT_EQ(xen->traps[0].error_code, ~0U) << "it has none";
  EXPECT_EQ(said(xen->responses.at(0)).flags, test::xen::kPaused);
  xen->happen({test::xen::not_emulated(1, 0x1000)});
  ASSERT_TRUE(caught<EmulateUnimplemented>().reply(Retry{}));
  EXPECT_EQ(xen->traps.size(), 1U);
  EXPECT_EQ(said(xen->responses.at(1)).flags, test::xen::kPaused);
}

TEST_F(SimulatedXenEvents, APrivilegedCallIsThereWhereTheMonitorSaysSo) {
  const auto refused = events->intercept(VcpuId{0}, PrivilegedCall::Filter{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("privileged_call"));
  EXPECT_THAT(refused.error().hint, testing::HasSubstr("Arm"));
  EXPECT_EQ(xen->rings, 0);
  xen->bits |= 1U << 7U;
  ASSERT_TRUE(events->intercept(VcpuId{0}, PrivilegedCall::Filter{}));
  EXPECT_THAT(xen->on, testing::ElementsAre(std::pair(Monitor::privileged_call, 0U)));
  xen->happen({test::xen::privileged_call(0, 0x2000)});
  {
    auto event = caught<PrivilegedCall>();
    EXPECT_EQ(event->gva, Gva{0x2000});
    Registers behind;
    behind.set(Reg::rip, 0x2004);
    ASSERT_TRUE(events->write(0, behind));
    ASSERT_TRUE(event.reply(Retry{}));
  }
  EXPECT_EQ(said(xen->responses.at(0)).rip, 0x2004U);
  EXPECT_TRUE(xen->traps.empty());
  xen->happen({test::xen::privileged_call(0, 0x2000)});
  {
    const auto dropped = caught<PrivilegedCall>();
  }
  ASSERT_EQ(xen->traps.size(), 1U) << "as without anybody who listens";
  EXPECT_EQ(xen->traps[0].vector, 6);
}

TEST_F(SimulatedXenEvents, WhatTheMonitorCannotDoIsNamed) {
  const auto step = events->intercept(VcpuId{0}, SingleStep::Filter{});
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().code, Errc::not_supported);
  EXPECT_THAT(step.error().message, testing::HasSubstr("singlestep"));
  EXPECT_EQ(events->intercept(VcpuId{0}, TrapDelivered::Filter{}).error().code,
            Errc::not_supported);
  EXPECT_EQ(events->intercept(VcpuId{2}, Cpuid::Filter{}).error().code, Errc::not_found);
  xen->version_of_events = 8;
  const auto newer = events->intercept(VcpuId{0}, Cpuid::Filter{});
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Errc::not_supported);
  EXPECT_THAT(newer.error().message, testing::HasSubstr("vm_event 8"));
  EXPECT_EQ(xen->rings, 0);
}

// As many vCPUs as the ring has places, and more.

}  // namespace
}  // namespace microvmi::xen
