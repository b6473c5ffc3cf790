// SPDX-License-Identifier: Apache-2.0
// vCPUs: which there are, that registers keep what was written, and events at an address that the
// guest reaches again and again.
#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

using std::chrono::seconds;

class VcpuContract : public ContractTest {
 protected:
  // Whether the guest stands still from here on; an image always does.
  [[nodiscard]] bool hold() { return !can(Capability::run_control) || vm_->pause().has_value(); }
};

TEST_P(VcpuContract, EachVcpuHasRegistersAndTheNextOneIsNotFound) {
  if (!can(Capability::registers)) return;  // ControlContract has seen them refused
  const auto count = vm_->info().vcpus;
  ASSERT_TRUE(count) << "who tells registers can tell of how many vcpus";
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto registers = vm_->read_registers(VcpuId{i});
    ASSERT_TRUE(registers) << i << ": " << to_text(registers.error());
    // An image may have nothing of a vcpu but that it was there.
    const bool any = i == 0 || can(Capability::run_control) || registers->known().any();
    EXPECT_EQ((*registers)[Reg::rip].has_value(), any) << "a vcpu is somewhere";
  }
  const auto beyond = vm_->read_registers(VcpuId{*count});
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, Errc::not_found);
}

TEST_P(VcpuContract, RegistersOfAGuestThatStandsStillStayAsTheyAre) {
  if (!can(Capability::registers)) return;  // ControlContract has seen them refused
  ASSERT_TRUE(hold());
  const auto first = vm_->read_registers(VcpuId{0});
  const auto second = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
  EXPECT_FALSE(vm_->write_registers(VcpuId{100'000}, {})) << "there is no such vcpu";
}

TEST_P(VcpuContract, AWrittenRegisterIsReadBackAndTheOthersStay) {
  if (!can(Capability::registers)) return;  // ControlContract has seen them refused
  ASSERT_TRUE(hold());
  const auto before = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(before) << to_text(before.error());
  Registers wanted;
  wanted.set(Reg::r14, (*before)[Reg::r14].value_or(0) ^ 0x5a5a);
  const auto written = vm_->write_registers(VcpuId{0}, wanted);
  if (!written) {
    EXPECT_THAT(written.error().code, testing::AnyOf(Errc::not_supported, Errc::read_only));
    EXPECT_EQ(*vm_->read_registers(VcpuId{0}), *before) << "it failed and wrote";
    return;
  }
  auto expected = *before;
  expected.set(Reg::r14, *wanted[Reg::r14]);
  EXPECT_EQ(*vm_->read_registers(VcpuId{0}), expected);
  Registers restored;
  restored.set(Reg::r14, (*before)[Reg::r14].value_or(0));
  ASSERT_TRUE(vm_->write_registers(VcpuId{0}, restored));
}

TEST_P(VcpuContract, WhatWasNotInterceptedCannotBeReleased) {
  const auto released = vm_->release(VcpuId{0}, SingleStep::Filter{});
  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().code, can(Capability::events) ? Errc::not_found : Errc::not_supported);
}

TEST_P(VcpuContract, ABreakpointIsToldEachTimeAndLeavesNothingBehind) {
  const auto gva = subject_->reached();
  if (!gva) return;  // nobody knows of such an address
  ASSERT_TRUE(can(Capability::events));
  const Intercept what = Breakpoint::Filter{*gva};
  const auto set = vm_->intercept(kEveryVcpu, what);
  ASSERT_TRUE(set) << to_text(set.error());
  for (int i = 0; i < 20; ++i) {
    auto event = vm_->next_event(Wait::at_most(seconds(60)));
    ASSERT_TRUE(event) << i << ": " << to_text(event.error());
    auto* hit = std::get_if<Caught<Breakpoint>>(&*event);
    ASSERT_TRUE(hit) << name_of(*event);
    EXPECT_EQ((*hit)->gva, *gva);
    EXPECT_EQ(hit->registers()[Reg::rip], to_integer(*gva));
    ASSERT_TRUE(hit->reply(Proceed{}));
  }
  ASSERT_TRUE(vm_->release(kEveryVcpu, what));
  EXPECT_EQ(vm_->next_event(Wait::at_most(seconds(1))).error().code, Errc::timed_out);
  vm_.reset();
  EXPECT_TRUE(subject_->running().value_or(true));
}

TEST_P(VcpuContract, ClosingInTheMiddleOfAnEventLetsTheGuestRun) {
  const auto gva = subject_->reached();
  if (!gva) return;  // nobody knows of such an address
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, Breakpoint::Filter{*gva}));
  auto event = vm_->next_event(Wait::at_most(seconds(60)));
  ASSERT_TRUE(event) << to_text(event.error());
  vm_.reset();
  EXPECT_TRUE(subject_->running().value_or(true));
  auto& hit = std::get<Caught<Breakpoint>>(*event);
  EXPECT_EQ(hit.reply(Proceed{}).error().code, Errc::disconnected);
}

INSTANTIATE_TEST_SUITE_P(All, VcpuContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
