// SPDX-License-Identifier: Apache-2.0
// Events of the tiny guest against what it counts itself: none is lost, none is told twice.
#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

using namespace std::chrono_literals;

class XenEventsTest : public XenBothTest {
 protected:
  // The next event, which has to be of this kind.
  template <class E>
  [[nodiscard]] std::optional<Caught<E>> next() {
    auto event = vm().next_event(Wait::at_most(60s));
    EXPECT_TRUE(event) << to_text(event.error());
    if (!event) return std::nullopt;
    auto* caught = std::get_if<Caught<E>>(&*event);
    EXPECT_TRUE(caught) << "a " << name_of(*event) << " and no " << E::kName;
    return caught ? std::optional(std::move(*caught)) : std::nullopt;
  }

  // Intercepts while paused, takes `count` events, each looked at, and releases while paused; the
  // guest's own counter has to have gone on by as many, give or take the one on its way.
  template <class E, class Look>
  void counted(const Intercept& what, std::uint64_t Counters::* counter, Look look,
               unsigned count = 12) {
    ASSERT_TRUE(vm().pause());
    const std::uint64_t before = domain().counters().*counter;
    const auto asked = vm().intercept(kFirstVcpu, what);
    ASSERT_TRUE(asked) << to_text(asked.error());
    ASSERT_TRUE(vm().resume());
    for (unsigned i = 0; i < count; ++i) {
      auto event = next<E>();
      ASSERT_TRUE(event) << i;
      EXPECT_EQ(event->vcpu(), kFirstVcpu);
      look(*event);
      if (i % 3 == 2) continue;  // dropped, which is Proceed as well
      const auto replied = event->reply(Proceed{});
      ASSERT_TRUE(replied) << to_text(replied.error());
    }
    ASSERT_TRUE(vm().pause());
    const std::uint64_t passed = domain().counters().*counter - before;
    EXPECT_GE(passed + 1, count);
    EXPECT_LE(passed, count + 1);
    const auto released = vm().release(kFirstVcpu, what);
    ASSERT_TRUE(released) << to_text(released.error());
    ASSERT_TRUE(vm().resume());
    EXPECT_EQ(vm().next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
    EXPECT_TRUE(alive());
  }
};

TEST_P(XenEventsTest, WritesOfCr3) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const std::uint64_t sum = domain().said("pml4a") + domain().said("pml4b");
  counted<CrWrite>(CrWrite::Filter{Reg::cr3}, &Counters::cr3_writes, [&](const auto& event) {
    EXPECT_EQ(event->cr, Reg::cr3);
    EXPECT_THAT(event->new_value, testing::AnyOf(domain().said("pml4a"), domain().said("pml4b")));
    EXPECT_EQ(event->old_value + event->new_value, sum);
    EXPECT_EQ(event.registers()[Reg::r8].value_or(0), domain().said("r8"));
    EXPECT_GE(event.registers()[Reg::rip].value_or(0), domain().said("text_start"));
  });
}

TEST_P(XenEventsTest, WritesOfAnMsr) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  std::optional<std::uint64_t> last;
  counted<MsrWrite>(MsrWrite::Filter{0x176}, &Counters::msr_writes, [&](const auto& event) {
    EXPECT_EQ(event->msr, 0x176U);
    if (last) {
      EXPECT_EQ(event->new_value, *last + 1);
      EXPECT_EQ(event->old_value.value_or(*last), *last);
    }
    last = event->new_value;
  });
}

TEST_P(XenEventsTest, AnMsrIsGivenAnotherValueOrNone) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().intercept(kFirstVcpu, MsrWrite::Filter{0x176}));
  auto event = next<MsrWrite>();
  ASSERT_TRUE(event);
  const auto set = event->reply(SetValue{0xabcdef});
  ASSERT_TRUE(set) << to_text(set.error());
  // The guest has read it back by the time of its next write.
  auto following = next<MsrWrite>();
  ASSERT_TRUE(following);
  EXPECT_EQ(domain().counters().msr_seen, 0xabcdefU);
  // As it was before it is what it stays.
  const auto refused = following->reply(Refuse{});
  ASSERT_TRUE(refused) << to_text(refused.error());
  auto third = next<MsrWrite>();
  ASSERT_TRUE(third);
  EXPECT_EQ(domain().counters().msr_seen, 0xabcdefU);
  close();
  EXPECT_TRUE(alive());
}

TEST_P(XenEventsTest, Cpuid) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto usual = domain().counters().cpuid_seen;
  counted<Cpuid>(Cpuid::Filter{}, &Counters::cpuids, [&](const auto& event) {
    EXPECT_EQ(event->leaf, 0x40004d56U);
    EXPECT_EQ(event->subleaf, 7U);
  });
  EXPECT_EQ(domain().counters().cpuid_seen, usual) << "Proceed gave the guest something else";
}

TEST_P(XenEventsTest, CpuidGivesWhatIsReplied) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().intercept(kFirstVcpu, Cpuid::Filter{}));
  auto event = next<Cpuid>();
  ASSERT_TRUE(event);
  const auto replied = event->reply(CpuidResult{11, 22, 33, 44});
  ASSERT_TRUE(replied) << to_text(replied.error());
  auto following = next<Cpuid>();
  ASSERT_TRUE(following);
  EXPECT_THAT(domain().counters().cpuid_seen, testing::ElementsAre(11, 22, 33, 44));
  close();
  EXPECT_TRUE(alive());
}

TEST_P(XenEventsTest, WritesOfCr4AndCr0) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  counted<CrWrite>(
      CrWrite::Filter{Reg::cr4}, &Counters::cr4_writes,
      [&](const auto& event) {
        EXPECT_EQ(event->cr, Reg::cr4);
        EXPECT_EQ(event->old_value ^ event->new_value, 4U);
      },
      5);
  counted<CrWrite>(
      CrWrite::Filter{Reg::cr0}, &Counters::cr0_writes,
      [&](const auto& event) {
        EXPECT_EQ(event->cr, Reg::cr0);
        EXPECT_EQ(event->old_value ^ event->new_value, 2U);
      },
      5);
}

TEST_P(XenEventsTest, DebugExceptions) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  counted<DebugException>(DebugException::Filter{}, &Counters::debugs, [&](const auto& event) {
    EXPECT_GE(to_integer(event->gva), domain().said("text_start"));
    EXPECT_LT(to_integer(event->gva), domain().said("counters"));
  });
}

TEST_P(XenEventsTest, ADebugExceptionIsKeptFromTheGuest) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().intercept(kFirstVcpu, DebugException::Filter{}));
  auto event = next<DebugException>();
  ASSERT_TRUE(event);
  const std::uint64_t before = domain().counters().debugs;
  // It still has TF, so each instruction raises another one until a handler takes TF away.
  ASSERT_TRUE(event->reply(Retry{}));
  auto following = next<DebugException>();
  ASSERT_TRUE(following);
  EXPECT_EQ(domain().counters().debugs, before);
  ASSERT_TRUE(following->reply(Proceed{}));
  close();
  EXPECT_TRUE(alive());
  EXPECT_GT(domain().counters().debugs, before);
}

TEST_P(XenEventsTest, RequestsOfTheGuest) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  counted<Hypercall>(Hypercall::Filter{}, &Counters::requests, [](const auto&) {}, 6);
}

TEST_P(XenEventsTest, DescriptorTables) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  counted<DescriptorAccess>(
      DescriptorAccess::Filter{}, &Counters::table_reads,
      [](const auto& event) {
        EXPECT_EQ(event->table, DescriptorAccess::Table::gdt);
        EXPECT_FALSE(event->write);
      },
      6);
}

TEST_P(XenEventsTest, SeveralKindsAtOnceComeInOrder) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(vm().pause());
  ASSERT_TRUE(vm().intercept(kFirstVcpu, CrWrite::Filter{Reg::cr3}));
  ASSERT_TRUE(vm().intercept(kFirstVcpu, MsrWrite::Filter{0x176}));
  ASSERT_TRUE(vm().intercept(kFirstVcpu, Cpuid::Filter{}));
  ASSERT_TRUE(vm().resume());
  std::string order;
  for (int i = 0; i < 17; ++i) {
    auto event = vm().next_event(Wait::at_most(60s));
    ASSERT_TRUE(event) << to_text(event.error());
    order += name_of(*event)[1];  // cr_write, msr_write, cpuid: r, s, p
  }
  EXPECT_THAT(std::string("rsprrsprrsprrsprrsprrspr"), testing::HasSubstr(order));
  close();
  EXPECT_TRUE(alive());
}

// What needs VMX or was made for it alone.
TEST_P(XenEventsTest, WhatAnAmdRefusesIsNotSupported) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto step = vm().intercept(kFirstVcpu, SingleStep::Filter{});
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().code, Errc::not_supported) << to_text(step.error());
  const auto access = vm().intercept(kFirstVcpu, PageAccess::Filter{});
  ASSERT_FALSE(access);
  EXPECT_EQ(access.error().code, Errc::not_supported) << to_text(access.error());
  if (const auto pages = vm().page_access()) {
    const std::array rights{PageRights{.gfn = Gfn{domain().said("stamp_start") / kPageSize},
                                       .allowed = {.read = true}}};
    EXPECT_EQ((*pages)->allow(rights).error().code, Errc::not_supported);
    EXPECT_EQ((*pages)->create_view().error().code, Errc::not_supported);
  } else {
    EXPECT_EQ(pages.error().code, Errc::not_supported);
  }
  EXPECT_TRUE(alive());
}

INSTANTIATE_TEST_SUITE_P(Xen, XenEventsTest, testing::Values(kTiny, kHvm),
                         [](const auto& name) { return std::string(name.param); });

}  // namespace
}  // namespace microvmi::test::xen
