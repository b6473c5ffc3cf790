// SPDX-License-Identifier: Apache-2.0
// Breakpoints, watchpoints and steps of live guests against a counter that the guest keeps.
#include <algorithm>
#include <map>
#include <thread>

#include "guest/qemu/events_guest.hpp"

namespace microvmi {
namespace {

using namespace test;
using namespace std::chrono_literals;
using testing::HasSubstr;

struct Machine {
  const char* machine;
  unsigned vcpus;
};

void PrintTo(const Machine& one, std::ostream* out) { *out << one.machine << one.vcpus; }

class StormTest : public EventsTest, public testing::WithParamInterface<Machine> {};

INSTANTIATE_TEST_SUITE_P(Machines, StormTest,
                         testing::Values(Machine{"pc", 1}, Machine{"pc", 4}, Machine{"q35", 1},
                                         Machine{"q35", 4}),
                         testing::PrintToStringParamName());

TEST_P(StormTest, NoBreakpointIsLostOrDoubled) {
  MICROVMI_NEEDS_TINY_GUEST();
  const unsigned vcpus = GetParam().vcpus;
  boot(vcpus, GetParam().machine);
  if (HasFatalFailure()) return;
  const unsigned rounds = 2000 / vcpus;
  const Breakpoint::Filter here{hot_point()};
  const auto asked = vm_->intercept(kEveryVcpu, here);
  ASSERT_TRUE(asked) << to_text(asked.error());
  start_loop(vcpus, rounds);
  std::map<std::uint32_t, unsigned> hits;
  for (unsigned i = 0; i < vcpus * rounds; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error()) << " after " << i;
    auto* const hit = std::get_if<Caught<Breakpoint>>(&*event);
    ASSERT_TRUE(hit);
    ASSERT_EQ((*hit)->gva, hot_point());
    ASSERT_EQ((*hit)->gpa, Gpa{guest_->truth().hot_point}) << "it is mapped one to one";
    const auto vcpu = to_integer(hit->vcpu());
    ASSERT_EQ(hit->registers()[Reg::rip], to_integer(hot_point()));
    ASSERT_EQ(count(vcpu), hits[vcpu]++) << "the guest counts after each hit of vcpu " << vcpu;
    ASSERT_TRUE(hit->reply(Proceed{}));
  }
  EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
  EXPECT_EQ(hot_line(), vcpus == 1 ? "hot 0x7d0 0x0 0x0 0x0" : "hot 0x1f4 0x1f4 0x1f4 0x1f4");
  EXPECT_EQ(hits.size(), vcpus);
  for (const auto& [vcpu, count] : hits) EXPECT_EQ(count, rounds) << "vcpu " << vcpu;
  ASSERT_TRUE(vm_->release(kEveryVcpu, here));
  EXPECT_TRUE(runs(*vm_, *guest_));
  EXPECT_THAT(guest_->qemu().truth().human("info chardev").value_or("gdb: "),
              testing::Not(HasSubstr("gdb: ")))
      << "the stub was ended";
}

// A device whose memory comes and goes makes QEMU kick each vCPU (tcg_commit in softmmu/physmem.c),
// and a step that is kicked before its instruction began is told as if it were done.
TEST_F(EventsTest, BreakpointsAreNeitherLostNorDoubledWhereStepsDoNothing) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1, "pc", {"-device", "pci-testdev,addr=0x10"});
  if (HasFatalFailure()) return;
  const unsigned rounds = 2000;
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, Breakpoint::Filter{hot_point()}));
  start_loop(1, rounds);
  const std::jthread kicks([this](const std::stop_token& stop) {
    // PCI Local Bus 3.0, 3.2.2.3.2 and 6.2.2: the command register of device 0x10 of bus 0.
    QmpTruth& monitor = guest_->qemu().truth();
    static_cast<void>(monitor.human("o/l 0xcf8 0x80008004"));
    for (unsigned i = 0; !stop.stop_requested(); ++i)
      static_cast<void>(monitor.human(i % 2 == 0 ? "o/w 0xcfc 0" : "o/w 0xcfc 2"));
  });
  for (unsigned i = 0; i < rounds; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error()) << " after " << i;
    ASSERT_EQ(count(0), i) << "the guest counts after each hit";
  }
  EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
}

TEST_F(EventsTest, BreakpointsOfOneVcpuLeaveTheOthersAlone) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(2);
  if (HasFatalFailure()) return;
  constexpr unsigned kRounds = 60;
  ASSERT_TRUE(
      vm_->intercept(VcpuId{1}, Breakpoint::Filter{hot_point(), Breakpoint::Kind::hardware}));
  start_loop(2, kRounds);
  for (unsigned i = 0; i < kRounds; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error());
    EXPECT_EQ(vcpu_of(*event), VcpuId{1});
    EXPECT_EQ(vm_->next_event(Wait::at_most(1ms)).error().code, Errc::busy);
  }
  EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
  EXPECT_EQ(hot_line(), "hot 0x3c 0x3c 0x0 0x0");
}

TEST_F(EventsTest, AWatchpointTellsEachWrite) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1);
  if (HasFatalFailure()) return;
  constexpr unsigned kRounds = 300;
  const Gva counter{guest_->truth().hot_counts};
  ASSERT_TRUE(vm_->intercept(VcpuId{0}, Watchpoint::Filter{counter, 8, {.write = true}}));
  start_loop(1, kRounds);
  // The guest sets all counters to 0 first.
  for (unsigned i = 0; i <= kRounds; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error()) << " after " << i;
    auto* const hit = std::get_if<Caught<Watchpoint>>(&*event);
    ASSERT_TRUE(hit);
    ASSERT_EQ((*hit)->gva, counter);
    ASSERT_EQ((*hit)->gpa, Gpa{guest_->truth().hot_counts});
    ASSERT_EQ(count(0), i) << "rip is behind the write";
  }
  EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
  EXPECT_EQ(hot_line(), "hot 0x12c 0x0 0x0 0x0");
}

TEST_F(EventsTest, AReadAndAWriteOfOneWordAreTwoWatchpoints) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1);
  if (HasFatalFailure()) return;
  // Which the guest sets to 0, leaves alone, and prints in the end.
  const Gva unused{guest_->truth().hot_counts + 64};
  ASSERT_TRUE(vm_->intercept(VcpuId{0}, Watchpoint::Filter{unused, 8, {.read = true}}));
  ASSERT_TRUE(vm_->intercept(VcpuId{0}, Watchpoint::Filter{unused, 8, {.write = true}}));
  start_loop(1, 5);
  for (const bool write : {true, false}) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error());
    auto* const hit = std::get_if<Caught<Watchpoint>>(&*event);
    ASSERT_TRUE(hit);
    EXPECT_EQ((*hit)->access.write, write);
    EXPECT_EQ((*hit)->access.read, !write);
  }
  EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
}

TEST_F(EventsTest, StepsGoOneInstructionAtATime) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(2);
  if (HasFatalFailure()) return;
  const auto before = counter_of(*vm_, *guest_);
  ASSERT_TRUE(vm_->intercept(VcpuId{0}, SingleStep::Filter{}));
  std::vector<std::uint64_t> rips;
  for (int i = 0; i < 40; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error());
    ASSERT_TRUE(std::holds_alternative<Caught<SingleStep>>(*event));
    EXPECT_EQ(vcpu_of(*event), VcpuId{0});
    rips.push_back(registers_of(*event)[Reg::rip].value_or(0));
    EXPECT_GE(rips.back(), guest_->truth().loop_start);
    EXPECT_LT(rips.back(), guest_->truth().loop_end);
    if (rips.size() > 1) {
      EXPECT_NE(rips.back(), rips[rips.size() - 2]);
    }
  }
  // The loop has four instructions, of which one counts.
  EXPECT_GE(counter_of(*vm_, *guest_), before + 9);
  ASSERT_TRUE(vm_->release(VcpuId{0}, SingleStep::Filter{}));
  EXPECT_TRUE(runs(*vm_, *guest_));
  EXPECT_EQ(guest_->qemu().running().value(), true);
}

TEST_F(EventsTest, ClosingLeavesNothingBehind) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1, "pc", kWithStub);
  if (HasFatalFailure()) return;
  const Gva loop{guest_->truth().loop_start};
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, Breakpoint::Filter{loop}));
  auto event = vm_->next_event(Wait::at_most(kPatience));
  ASSERT_TRUE(event) << to_text(event.error());
  vm_.reset();  // with an event that waits
  EXPECT_EQ(guest_->qemu().running().value(), true);
  auto again = open_driver(guest_->qemu());
  ASSERT_TRUE(again);
  vm_.emplace(*std::move(again));
  EXPECT_TRUE(runs(*vm_, *guest_));
  EXPECT_EQ(std::get<Caught<Breakpoint>>(*event).reply(Proceed{}).error().code, Errc::disconnected);
  EXPECT_EQ(guest_->qemu().running().value(), true);
}

TEST_F(EventsTest, PausingHoldsWhatAnEventLetsGo) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1);
  if (HasFatalFailure()) return;
  const Gva loop{guest_->truth().loop_start};
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, Breakpoint::Filter{loop}));
  {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event);
    EXPECT_EQ(vm_->running().value(), true) << "it runs but for the event";
    ASSERT_TRUE(vm_->pause());
  }
  const auto before = counter_of(*vm_, *guest_);
  EXPECT_EQ(vm_->next_event(Wait::at_most(200ms)).error().code, Errc::timed_out);
  EXPECT_EQ(counter_of(*vm_, *guest_), before);
  const auto regs = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(regs);
  EXPECT_TRUE((*regs)[Reg::cr8] && (*regs)[Reg::gdt_base]) << "both ways together";
  ASSERT_TRUE(vm_->resume());
  auto next = vm_->next_event(Wait::at_most(kPatience));
  ASSERT_TRUE(next) << to_text(next.error());
  EXPECT_EQ(counter_of(*vm_, *guest_), before + 1) << "one round of the loop";
}

TEST_F(EventsTest, AQemuThatDiesInAStormIsDisconnected) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1);
  if (HasFatalFailure()) return;
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, Breakpoint::Filter{Gva{guest_->truth().loop_start}}));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(vm_->next_event(Wait::at_most(kPatience)));
  guest_->qemu().kill();
  Expected<void> last;
  for (int i = 0; i < 3 && last; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    if (!event) last = std::unexpected(event.error());
  }
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, Errc::disconnected) << to_text(last.error());
}

TEST_F(EventsTest, WhatItCannotDoIsRefused) {
  MICROVMI_NEEDS_TINY_GUEST();
  boot(1);
  if (HasFatalFailure()) return;
  EXPECT_EQ(vm_->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}).error().code, Errc::not_supported);
  for (const Intercept& what :
       {Intercept{PrivilegedCall::Filter{}}, Intercept{EmulateUnimplemented::Filter{}}})
    EXPECT_EQ(vm_->intercept(VcpuId{0}, what).error().code, Errc::not_supported);
  EXPECT_EQ(vm_->intercept(VcpuId{7}, SingleStep::Filter{}).error().code, Errc::not_found);
  EXPECT_EQ(vm_->intercept(VcpuId{0}, Watchpoint::Filter{Gva{0}, 0, {.write = true}}).error().code,
            Errc::invalid_argument);
  EXPECT_EQ(vm_->release(VcpuId{0}, SingleStep::Filter{}).error().code, Errc::not_found);
  EXPECT_TRUE(runs(*vm_, *guest_));
}

}  // namespace
}  // namespace microvmi
