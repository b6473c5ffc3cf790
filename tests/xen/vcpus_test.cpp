// SPDX-License-Identifier: Apache-2.0
// A tiny guest with two vCPUs that run: which events are whose, who waits for whom, and what
// becomes of events that wait when the guest goes away.
#include <map>

#include "support/soon.hpp"
#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

using namespace std::chrono_literals;

constexpr VcpuId kSecond{1};
constexpr std::uint64_t kR8OfSecond = 0x2222222222222222;  // as tiny.S sets it

class XenTwoVcpusTest : public XenTest {
 protected:
  void use_pair() {
    ASSERT_NO_FATAL_FAILURE(use_another("pair", "vcpus=2 'cmdline=\"2\"'"));
    ASSERT_TRUE(soon([this] { return domain().counters().second_ticks > 1; }));
  }
  [[nodiscard]] Expected<void> watch(VcpuId vcpu) {
    return vm().intercept(vcpu, CrWrite::Filter{Reg::cr3});
  }
  [[nodiscard]] std::optional<Caught<CrWrite>> next() {
    auto event = vm().next_event(Wait::at_most(60s));
    EXPECT_TRUE(event) << to_text(event.error());
    if (!event) return std::nullopt;
    auto* caught = std::get_if<Caught<CrWrite>>(&*event);
    EXPECT_TRUE(caught) << name_of(*event);
    return caught ? std::optional(std::move(*caught)) : std::nullopt;
  }
  // Until one comes of this vCPU; those of the other one are answered.
  [[nodiscard]] std::optional<Caught<CrWrite>> next_of(VcpuId vcpu) {
    for (int i = 0; i < 100; ++i) {
      auto event = next();
      if (!event || event->vcpu() == vcpu) return event;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool second_counts_on() {
    const std::uint64_t before = domain().counters().second_ticks;
    return soon([&] { return domain().counters().second_ticks >= before + 2; });
  }
  [[nodiscard]] std::string online() {
    for (const Fact& fact : vm().info().facts)
      if (fact.name == "online_vcpus") return std::get<std::string>(fact.value);
    return "no such fact";
  }
};

TEST_F(XenTwoVcpusTest, EachIsToldOfItsOwnAndNeitherWaitsForTheOther) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_pair());
  ASSERT_TRUE(watch(kEveryVcpu));
  std::map<VcpuId, unsigned> told;
  for (int i = 0; i < 100 && (told[kFirstVcpu] < 4 || told[kSecond] < 4); ++i) {
    auto event = next();
    ASSERT_TRUE(event);
    ++told[event->vcpu()];
    EXPECT_EQ(event->registers()[Reg::r8],
              event->vcpu() == kSecond ? kR8OfSecond : domain().said("r8"));
    ASSERT_TRUE(event->reply(Proceed{}));
  }
  EXPECT_GE(told[kFirstVcpu], 4U);
  EXPECT_GE(told[kSecond], 4U);
  EXPECT_EQ(told.size(), 2U);
  // While the answer to one is out, the other one is told of and goes on.
  auto held = next_of(kFirstVcpu);
  ASSERT_TRUE(held);
  for (int i = 0; i < 4; ++i) {
    auto event = next();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->vcpu(), kSecond);
  }
  auto other = next_of(kSecond);
  ASSERT_TRUE(other);
  const auto none = vm().next_event(Wait::at_most(60s));
  ASSERT_FALSE(none) << "both wait for an answer";
  EXPECT_EQ(none.error().code, Errc::busy) << to_text(none.error());
  EXPECT_TRUE(held->reply(Proceed{}));
  EXPECT_TRUE(other->reply(Proceed{}));
  close();
  EXPECT_TRUE(alive());
  EXPECT_TRUE(second_counts_on());
}

TEST_F(XenTwoVcpusTest, WhatIsAskedOfOneDoesNotHoldTheOther) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_pair());
  ASSERT_TRUE(watch(kSecond));
  for (int i = 0; i < 5; ++i) {
    auto event = next();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->vcpu(), kSecond);
  }
  // Xen tells of the first one as well, and it is answered when the next event is waited for.
  auto held = next();
  ASSERT_TRUE(held);
  const std::uint64_t ticks = domain().counters().ticks;
  EXPECT_TRUE(soon([&] {
    EXPECT_EQ(vm().next_event(Wait::at_most(50ms)).error().code, Errc::timed_out);
    return domain().counters().ticks >= ticks + 2;
  }));
  const std::uint64_t second = domain().counters().second_ticks;
  EXPECT_EQ(domain().counters().second_ticks, second);
  EXPECT_TRUE(held->reply(Proceed{}));
  ASSERT_TRUE(vm().release(kSecond, CrWrite::Filter{Reg::cr3}));
  EXPECT_TRUE(alive());
  EXPECT_TRUE(second_counts_on());
}

TEST_F(XenTwoVcpusTest, BothAreOnlineAndHaveRegisters) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_pair());
  EXPECT_EQ(online(), "0,1");
  const auto all = vm().read_all_registers();
  ASSERT_TRUE(all) << to_text(all.error());
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].registers[Reg::r8], domain().said("r8"));
  EXPECT_EQ((*all)[1].registers[Reg::r8], kR8OfSecond);
  // A write to one is no write to the other.
  ASSERT_TRUE(vm().pause());
  Registers wanted;
  wanted.set(Reg::r8, 0x88);
  ASSERT_TRUE(vm().write_registers(kSecond, wanted));
  EXPECT_EQ((*vm().read_registers(kSecond))[Reg::r8], 0x88U);
  EXPECT_EQ((*vm().read_registers(kFirstVcpu))[Reg::r8], domain().said("r8"));
  ASSERT_TRUE(vm().resume());
  EXPECT_TRUE(alive());
  EXPECT_TRUE(second_counts_on());
}

// One event is in the caller's hands, one waits in the ring.
TEST_F(XenTwoVcpusTest, AGuestThatGoesAwayWhileEventsWait) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_pair());
  ASSERT_TRUE(watch(kEveryVcpu));
  auto held = next();
  ASSERT_TRUE(held);
  const auto still = [this] {
    const Counters counters = domain().counters();
    return std::pair(counters.cr3_writes, counters.second_cr3_writes);
  };
  EXPECT_TRUE(soon(
      [&] {
        const auto before = still();
        std::this_thread::sleep_for(100ms);
        return still() == before;
      },
      10ms))
      << "the other vCPU does not wait";
  const std::string id = std::to_string(domain().id());
  domain().destroy();
  const std::optional<Error> last = end_of_events();
  ASSERT_TRUE(last) << "it still tells of events";
  EXPECT_EQ(last->code, Errc::disconnected) << to_text(*last);
  close();
  EXPECT_EQ(held->reply(Proceed{}).error().code, Errc::disconnected);
  EXPECT_TRUE(soon([&] { return shell("xl list " + id).status != 0; }, 100ms))
      << "something of ours holds on to it";
}

TEST_F(XenTwoVcpusTest, OneThatIsOfflineIsNotFound) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  EXPECT_EQ(vm().info().vcpus, 2U);
  EXPECT_EQ(online(), "0");
  const auto offline = vm().read_registers(kSecond);
  ASSERT_FALSE(offline);
  EXPECT_EQ(offline.error().code, Errc::not_found);
  EXPECT_THAT(offline.error().message, testing::HasSubstr("offline"));
  const auto all = vm().read_all_registers();
  ASSERT_TRUE(all) << to_text(all.error());
  EXPECT_EQ(all->size(), 1U);
}

}  // namespace
}  // namespace microvmi::test::xen
