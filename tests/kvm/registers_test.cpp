// SPDX-License-Identifier: Apache-2.0
// Registers of running vCPUs against what their VMM gave them and what KVM tells it.
#include <algorithm>
#include <span>

#include "kvm/machine.hpp"
#include "support/soon.hpp"

namespace microvmi {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;

class KvmRegisterTest : public test::KvmMachineTest {
 protected:
  // Reads of every vCPU in turn; none may be seen by the VMM or by the guest.
  void read_often(unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      const auto registers = vm_->read_registers(VcpuId{i % *vm_->info().vcpus});
      ASSERT_TRUE(registers) << to_text(registers.error()) << " after " << i;
      ASSERT_THAT((*registers)[Reg::rip], testing::Optional(AllOf(Ge(0x1000U), Le(0x1018U))));
    }
    EXPECT_TRUE(guest_->undisturbed());
  }
};

TEST_F(KvmRegisterTest, AreThoseThatEachVcpuWasGiven) {
  start({"vcpus=3"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  const auto all = vm_->read_all_registers();
  ASSERT_TRUE(all) << to_text(all.error());
  ASSERT_EQ(all->size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(test::expect_as_told((*all)[i].registers, given(i)), 15 + 14) << i;
    EXPECT_EQ((*all)[i].registers[Reg::lstar], std::nullopt) << "MSRs take injection";
    // Long mode code, present, and accessed: attributes as registers.hpp has them.
    EXPECT_EQ((*all)[i].registers[Reg::cs_attributes], 0xA09BU);
    EXPECT_EQ((*all)[i].registers[Reg::cs_limit], 0xFFFFFFFFU);
  }
  EXPECT_EQ(vm_->read_registers(VcpuId{3}).error().code, Errc::not_found);
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmRegisterTest, ThoseOfInjectionHaveModelSpecificOnesToo) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto registers = vm_->read_registers(VcpuId{static_cast<std::uint32_t>(i)});
    ASSERT_TRUE(registers) << to_text(registers.error());
    EXPECT_EQ(test::expect_as_told(*registers, given(i)), 15 + 14 + 6) << i;
    EXPECT_EQ((*registers)[Reg::dr7], 0x400U) << "as a processor has it after reset";
    EXPECT_TRUE((*registers)[Reg::xcr0]);
  }
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmRegisterTest, TheXsaveAreaHasTheVectorRegisters) {
  constexpr std::size_t kXmm = 160;  // Intel SDM vol. 1, 13.4.1
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  for (std::uint32_t i = 0; i < 2; ++i) {
    const auto area = vm_->read_xsave(VcpuId{i});
    ASSERT_TRUE(area) << to_text(area.error());
    ASSERT_EQ(area->size(), 4096U);
    const auto truth = given(i)["xmm"].get<std::vector<std::vector<std::uint8_t>>>();
    ASSERT_EQ(truth.size(), 16U);
    for (std::size_t n = 0; n < truth.size(); ++n)
      EXPECT_TRUE(std::ranges::equal(truth[n], std::span(*area).subspan(kXmm + 16 * n, 16), {}, {},
                                     [](std::byte one) { return std::to_integer<int>(one); }))
          << "xmm" << n << " of vCPU " << i;
  }
  EXPECT_THAT(vm_->capabilities(), testing::Contains(Capability::xsave));
  EXPECT_EQ(vm_->read_xsave(VcpuId{2}).error().code, Errc::not_found);
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmRegisterTest, TheXsaveAreaTakesInjection) {
  start({"vcpus=1"});
  if (!guest_) return;
  for (const Intrusive mode : {Intrusive::none, Intrusive::sync_regs}) {
    vm_.reset();
    open(mode);
    ASSERT_TRUE(vm_);
    EXPECT_THAT(vm_->capabilities(), testing::Not(testing::Contains(Capability::xsave)));
    const auto area = vm_->read_xsave(VcpuId{0});
    ASSERT_FALSE(area);
    EXPECT_EQ(area.error().code, Errc::not_supported);
    EXPECT_THAT(area.error().hint, testing::HasSubstr("inject"));
  }
}

TEST_F(KvmRegisterTest, NoneWhereNothingMayBeTouched) {
  start({"vcpus=1"});
  if (!guest_) return;
  open(Intrusive::none);
  ASSERT_TRUE(vm_);
  EXPECT_EQ(vm_->read_registers(VcpuId{0}).error().code, Errc::not_supported);
  EXPECT_EQ(vm_->pause().error().code, Errc::not_supported);
}

TEST_F(KvmRegisterTest, AreNotWrittenWithoutInjection) {
  start({"vcpus=1"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  Registers wanted;
  wanted.set(Reg::r14, 1);
  const auto written = vm_->write_registers(VcpuId{0}, wanted);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::not_supported);
  EXPECT_THAT(written.error().hint, testing::HasSubstr("inject"));
}

TEST_F(KvmRegisterTest, WrittenOnesAreWhatKvmTellsTheVmm) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  Registers wanted;
  wanted.set(Reg::r13, 0x1313);
  wanted.set(Reg::rbp, 0xBBBB);
  wanted.set(Reg::gs_base, 0x6000);
  wanted.set(Reg::lstar, 0xFFFF800000ABC000);
  wanted.set(Reg::kernel_gs_base, 0xFFFF800000DEF000);
  const auto written = vm_->write_registers(VcpuId{1}, wanted);
  ASSERT_TRUE(written) << to_text(written.error());
  EXPECT_TRUE(guest_->undisturbed());
  const auto now = ask("stop")["registers"];
  auto expected = given(1);
  expected.update({{"r13", 0x1313},
                   {"rbp", 0xBBBB},
                   {"gs_base", 0x6000},
                   {"lstar", 0xFFFF800000ABC000},
                   {"kernel_gs_base", 0xFFFF800000DEF000}});
  for (const auto& [name, value] : expected.items())
    EXPECT_TRUE(test::moves(name) || now[1][name] == value) << name;
  const auto untouched = given(0);
  for (const auto& [name, value] : untouched.items())
    EXPECT_TRUE(test::moves(name) || now[0][name] == value) << name << " of the other vCPU";
  ask("go");
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmRegisterTest, AWriteThatKvmRefusesNamesWhatItWas) {
  start({"vcpus=1"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  Registers wanted;
  wanted.set(Reg::lstar, 0x8000000000000000);  // no canonical address
  const auto written = vm_->write_registers(VcpuId{0}, wanted);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, testing::HasSubstr("0xc0000082"));
  EXPECT_TRUE(guest_->undisturbed());
}

// A VMM whose vCPUs are out of KVM_RUN is left alone.
TEST_F(KvmRegisterTest, OfAVmmThatStoppedItsGuestAreAnError) {
  start({"vcpus=1"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  ask("stop");
  // Its thread is told to stand still and takes a moment to do so.
  EXPECT_TRUE(test::soon([this] { return vm_->running() == false; }));
  const auto registers = vm_->read_registers(VcpuId{0});
  ASSERT_FALSE(registers);
  EXPECT_EQ(registers.error().code, Errc::timed_out);
  ask("go");
  EXPECT_TRUE(vm_->read_registers(VcpuId{0}));
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmRegisterTest, ManyReadsAreNotSeen) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  read_often(3000);
}

TEST_F(KvmRegisterTest, ManyInjectionsAreNotSeen) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  read_often(500);
}

// A guest that leaves for the VMM all the time: the stop often meets the VMM's own work.
TEST_F(KvmRegisterTest, OfAGuestThatLeavesOften) {
  start({"vcpus=2", "mask=7"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  read_often(100);
}

TEST_F(KvmRegisterTest, SlowHundredThousandReadsAreNotSeen) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  read_often(100'000);
}

}  // namespace
}  // namespace microvmi
