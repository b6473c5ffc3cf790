// SPDX-License-Identifier: Apache-2.0
// Managed breakpoints and page rights through KVMi.
#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;

constexpr std::uint64_t kCode = 0x3002;  // the vCPUs begin at 0x3000, in NOPs
constexpr std::uint8_t kNop = 0x90;

class KvmSimulatedBreakpoint : public testing::TestWithParam<Dialect> {
 protected:
  OpenLine line_{KernelSetup{.dialect = GetParam()}};
};

TEST_P(KvmSimulatedBreakpoint, IsHitSteppedOverAndHidden) {
  ASSERT_TRUE(line_.vm);
  const Breakpoint::Filter here{.gva = Gva{kCode}};
  const auto set = line_.vm->intercept(VcpuId{0}, here);
  ASSERT_TRUE(set) << to_text(set.error());
  EXPECT_EQ(line_.peer.peek(kCode, 1), Bytes{kInt3});
  std::array<std::byte, 4> seen{};
  ASSERT_TRUE(line_.memory().read(Gpa{kCode - 1}, seen));
  EXPECT_EQ(seen[1], std::byte{kNop}) << "memory reads must not show it";
  const auto outcome = line_.peer.begin(0, Deed::run(4));
  {
    auto event = take<Breakpoint>(*line_.vm);
    ASSERT_TRUE(event);
    EXPECT_EQ((*event)->gva, Gva{kCode});
    EXPECT_EQ((*event)->gpa, Gpa{kCode});
    EXPECT_EQ(event->registers()[Reg::rip], kCode);
    ASSERT_TRUE(event->reply(Proceed{}));
  }
  // The step over it needs nobody to ask for events.
  EXPECT_EQ(line_.peer.wait(outcome).own_exceptions, 0U);
  EXPECT_EQ(outcome->events, 1U);
  EXPECT_EQ(line_.peer.look([](Guest& guest, auto&) { return guest.vcpus[0].regs.rip; }), 0x3004U);
  EXPECT_TRUE(line_.peer.wait_until([&] {
    return line_.peer.guest_unlocked().peek(kCode, 1)[0] == kInt3;
  })) << "it has to be put back";
  ASSERT_TRUE(line_.vm->release(VcpuId{0}, here));
  EXPECT_EQ(line_.peer.peek(kCode, 1), Bytes{kNop});
  EXPECT_THAT(line_.close(), IsEmpty());
}

TEST_P(KvmSimulatedBreakpoint, IsRemovedAtClose) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, Breakpoint::Filter{.gva = Gva{kCode}}));
  ASSERT_TRUE(line_.vm->intercept(kEveryVcpu, Breakpoint::Filter{.gva = Gva{kCode + 0x100}}));
  EXPECT_EQ(line_.peer.peek(kCode + 0x100, 1), Bytes{kInt3});
  EXPECT_THAT(line_.close(), IsEmpty());
  EXPECT_EQ(line_.peer.peek(kCode, 1), Bytes{kNop});
  EXPECT_EQ(line_.peer.peek(kCode + 0x100, 1), Bytes{kNop});
}

TEST_P(KvmSimulatedBreakpoint, IsRemovedAtCloseAlsoInTheMiddleOfItsEvent) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, Breakpoint::Filter{.gva = Gva{kCode}}));
  const auto outcome = line_.peer.begin(0, Deed::run(4));
  auto event = take<Breakpoint>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_THAT(line_.close(), IsEmpty());
  EXPECT_EQ(line_.peer.peek(kCode, 1), Bytes{kNop});
  EXPECT_EQ(line_.peer.wait(outcome).own_exceptions, 0U) << "the guest must not see it";
}

TEST_P(KvmSimulatedBreakpoint, LooksItsAddressUpInTheGuestsTables) {
  line_.peer.look([](Guest& guest, auto&) {
    guest.map_page(0, 0xffff800000401000, 0x9000);
    guest.map_page(0, 0x3000, 0x3000);
  });
  ASSERT_TRUE(line_.vm);
  const auto set =
      line_.vm->intercept(VcpuId{0}, Breakpoint::Filter{.gva = Gva{0xffff800000401010}});
  ASSERT_TRUE(set) << to_text(set.error());
  EXPECT_EQ(line_.peer.peek(0x9010, 1), Bytes{kInt3});
  EXPECT_FALSE(line_.vm->intercept(VcpuId{0}, Breakpoint::Filter{.gva = Gva{0x7000}}));
  EXPECT_THAT(line_.close(), IsEmpty());
  EXPECT_EQ(line_.peer.peek(0x9010, 1), Bytes{kNop});
}

TEST_P(KvmSimulatedBreakpoint, AForeignInt3IsTheGuestsOwn) {
  ASSERT_TRUE(line_.vm);
  line_.peer.poke(0x3001, Bytes{kInt3});
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, Breakpoint::Filter{.gva = Gva{0x3800}}));
  const auto outcome = line_.peer.act(0, Deed::run(3));
  EXPECT_EQ(outcome.own_exceptions, 1U);
}

TEST_P(KvmSimulatedBreakpoint, AnotherVcpuPassesOverOneThatIsNotForIt) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, Breakpoint::Filter{.gva = Gva{kCode}}));
  EXPECT_EQ(line_.peer.act(1, Deed::run(4)).own_exceptions, 0U);
  EXPECT_FALSE(line_.vm->next_event(Wait::at_most(10ms)));
}

INSTANTIATE_TEST_SUITE_P(Dialects, KvmSimulatedBreakpoint,
                         testing::Values(Dialect::v7, Dialect::v12),
                         [](const auto& one) { return dialect_name(one.param); });

class KvmSimulatedRights : public EachDialect {
 protected:
  OpenLine line_{KernelSetup{.dialect = GetParam()}};

  void allow(Access access, std::uint64_t gfn = 5) {
    const auto control = line_.vm->page_access();
    ASSERT_TRUE(control) << to_text(control.error());
    const PageRights rights{.gfn = Gfn{gfn}, .allowed = access};
    const auto done = (*control)->allow({&rights, 1});
    ASSERT_TRUE(done) << to_text(done.error());
  }
};

TEST_P(KvmSimulatedRights, AnAccessIsToldProceedsOrIsTriedAgain) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, PageAccess::Filter{}));
  allow({.read = true, .execute = true});
  const auto control = line_.vm->page_access();
  EXPECT_EQ((*control)->allowed(Gfn{5}).value_or(Access{}),
            (Access{.read = true, .execute = true}));
  const auto outcome = line_.peer.begin(0, Deed::touch(0x7005, 0x5005, kWrite));
  auto event = take<PageAccess>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->gpa, Gpa{0x5005});
  EXPECT_EQ((*event)->gva, Gva{0x7005});
  EXPECT_EQ((*event)->access, (Access{.write = true}));
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_EQ(line_.peer.wait(outcome).events, 1U);
  const auto again = line_.peer.begin(0, Deed::touch(~0ULL, 0x5008, kWrite));
  auto second = take<PageAccess>(*line_.vm);
  ASSERT_TRUE(second);
  EXPECT_FALSE((*second)->gva) << "all ones: unknown";
  allow({.read = true, .write = true, .execute = true});
  ASSERT_TRUE(second->reply(Retry{}));
  EXPECT_EQ(line_.peer.wait(again).events, 1U);
  EXPECT_EQ(line_.peer.act(0, Deed::touch(0x7005, 0x5005, kWrite)).events, 0U);
}

TEST_P(KvmSimulatedRights, ManyPagesAndTheirRestoreAtClose) {
  ASSERT_TRUE(line_.vm);
  std::vector<PageRights> pages;
  for (std::uint64_t gfn = 0x100000; gfn != 0x100000 + 256; ++gfn)
    pages.push_back({.gfn = Gfn{gfn}, .allowed = {.read = true}});
  for (std::uint64_t gfn = 0x100; gfn != 0x200; ++gfn)
    pages.push_back({.gfn = Gfn{gfn}, .allowed = {}});
  for (std::uint64_t gfn = 0; gfn != 0x90; ++gfn)
    pages.push_back({.gfn = Gfn{gfn}, .allowed = {.execute = true}});
  const auto control = line_.vm->page_access();
  ASSERT_TRUE(control);
  const auto done = (*control)->allow(pages);  // more than one message holds
  ASSERT_TRUE(done) << to_text(done.error());
  EXPECT_GE(line_.peer.count(Cmd::set_page_access), 2U);
  line_.peer.look_at_kernel([](Kernel& kernel) {
    EXPECT_EQ(kernel.access_of(0, 0x100003), 1);
    EXPECT_EQ(kernel.access_of(0, 0x100), 0);
    EXPECT_EQ(kernel.access_of(0, 0x8f), 4);
  });
  EXPECT_THAT(line_.close(), IsEmpty());
}

TEST_P(KvmSimulatedRights, AReadOfOtherBytes) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, PageAccess::Filter{}));
  allow({.execute = true});
  const auto outcome = line_.peer.begin(0, Deed::touch(0x7010, 0x5010, kRead));
  auto event = take<PageAccess>(*line_.vm);
  ASSERT_TRUE(event);
  const auto done = event->reply(ReadAs{{std::byte{0xab}, std::byte{0xcd}}});
  if (GetParam() == Dialect::v12) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::not_supported);
    ASSERT_TRUE(event->reply(Proceed{}));
    line_.peer.wait(outcome);
    return;
  }
  ASSERT_TRUE(done) << to_text(done.error());
  const Bytes answer = line_.peer.wait(outcome).answer;
  ASSERT_EQ(answer.size(), 272U);
  EXPECT_EQ(u64(answer, 0), 0x7010U);
  EXPECT_EQ(u32(answer, 8), 2U);
  EXPECT_EQ(to_hex(ByteSpan(answer).subspan(16, 4)), "abcd0000");
}

TEST_P(KvmSimulatedRights, AHoleHasNoRights) {
  ASSERT_TRUE(line_.vm);
  const auto control = line_.vm->page_access();
  ASSERT_TRUE(control);
  const PageRights hole{.gfn = Gfn{0xa0}, .allowed = {.read = true}};
  const auto done = (*control)->allow({&hole, 1});
  // The family's kernel takes it in silence; v12 does not.
  EXPECT_EQ(done.has_value(), GetParam() != Dialect::v12);
}

MICROVMI_EACH_DIALECT(KvmSimulatedRights);

TEST(KvmSimulatedRightsTest, RightsThatNoProcessorHasAreRefused) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  const auto control = line.vm->page_access();
  ASSERT_TRUE(control);
  const PageRights odd{.gfn = Gfn{5}, .allowed = {.write = true}};
  EXPECT_FALSE((*control)->allow({&odd, 1}));
}

TEST(KvmSimulatedRightsTest, ViewsHaveRightsOfTheirOwn) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  const auto control = line.vm->page_access();
  ASSERT_TRUE(control);
  const auto now = (*control)->view_of(VcpuId{0});
  ASSERT_TRUE(now) << to_text(now.error());
  EXPECT_EQ(*now, kDefaultView);
  const PageRights rights{.gfn = Gfn{5}, .allowed = {.read = true, .execute = true}};
  ASSERT_TRUE((*control)->allow({&rights, 1}, SlatView{1}));
  line.peer.look_at_kernel([](Kernel& kernel) {
    EXPECT_EQ(kernel.access_of(1, 5), 5);
    EXPECT_EQ(kernel.access_of(0, 5), 7);
  });
  ASSERT_TRUE(line.vm->intercept(kEveryVcpu, PageAccess::Filter{}));
  EXPECT_EQ(line.peer.act(0, Deed::touch(0x7005, 0x5005, kWrite)).events, 0U);
  const auto switched = (*control)->switch_view(VcpuId{0}, SlatView{1});
  ASSERT_TRUE(switched) << to_text(switched.error());
  EXPECT_EQ((*control)->view_of(VcpuId{0}).value_or(SlatView{9}), SlatView{1});
  const auto outcome = line.peer.begin(0, Deed::touch(0x7005, 0x5005, kWrite));
  auto event = take<PageAccess>(*line.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->view, SlatView{1});
  ASSERT_TRUE(event->reply(Proceed{}));
  line.peer.wait(outcome);
  EXPECT_FALSE((*control)->switch_view(VcpuId{0}, SlatView{77}));
  EXPECT_THAT(line.close(), IsEmpty());
}

TEST(KvmSimulatedRightsTest, ViewsAreMadeAndDestroyed) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  const auto control = line.vm->page_access();
  ASSERT_TRUE(control);
  const PageRights rights{.gfn = Gfn{5}, .allowed = {.read = true, .execute = true}};
  const auto first = (*control)->create_view();
  const auto second = (*control)->create_view();
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  for (const SlatView view : {*first, *second}) ASSERT_TRUE((*control)->allow({&rights, 1}, view));
  line.peer.look_at_kernel([&](Kernel& kernel) {
    EXPECT_EQ(kernel.access_of(static_cast<std::uint16_t>(*second), 5), 5);
    EXPECT_EQ(kernel.access_of(0, 5), 7);
  });
  ASSERT_TRUE((*control)->switch_view(VcpuId{0}, *second));
  const auto done = (*control)->destroy_view(*first);
  ASSERT_TRUE(done) << to_text(done.error());
  EXPECT_FALSE((*control)->allow({&rights, 1}, *first)) << "it is gone";
  EXPECT_FALSE((*control)->destroy_view(*first));
  EXPECT_FALSE((*control)->destroy_view(kDefaultView));
  // Closing destroys the other one, which no vCPU sees by then.
  EXPECT_THAT(line.close(), IsEmpty());
}

TEST(KvmSimulatedRightsTest, TheNewestKernelHasNoViews) {
  OpenLine line(KernelSetup{.dialect = Dialect::v12});
  ASSERT_TRUE(line.vm);
  const auto control = line.vm->page_access();
  ASSERT_TRUE(control);
  EXPECT_EQ((*control)->create_view().error().code, Errc::not_supported);
  EXPECT_EQ((*control)->destroy_view(SlatView{1}).error().code, Errc::not_supported);
}

TEST(KvmSimulatedRightsTest, WithoutViewsTheyAreNotSupported) {
  OpenLine line(KernelSetup{.eptp = false});
  ASSERT_TRUE(line.vm);
  const auto control = line.vm->page_access();
  ASSERT_TRUE(control);
  const auto switched = (*control)->switch_view(VcpuId{0}, SlatView{1});
  ASSERT_FALSE(switched);
  EXPECT_EQ(switched.error().code, Errc::not_supported);
}

}  // namespace
}  // namespace microvmi::test::kvmi
