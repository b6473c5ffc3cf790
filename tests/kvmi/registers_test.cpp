// SPDX-License-Identifier: Apache-2.0
// Registers through KVMi: read while the guest runs, written through a pause and its event.
#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::HasSubstr;

class KvmSimulatedRegisters : public EachDialect {
 protected:
  OpenLine line_{KernelSetup{.dialect = GetParam()}};

  Vcpu vcpu(unsigned number) {
    return line_.peer.look([number](Guest& guest, auto&) { return guest.vcpus[number]; });
  }
};

TEST_P(KvmSimulatedRegisters, AreThoseOfTheVcpu) {
  ASSERT_TRUE(line_.vm);
  line_.peer.look([](Guest& guest, auto&) {
    guest.vcpus[1].sregs.fs = {
        .base = 0x7f0000000000, .limit = 0xfffff, .selector = 0x2b, .dpl = 3, .g = 0};
    guest.vcpus[1].sregs.ldt = {.limit = 0, .type = 2, .s = 0, .g = 0, .unusable = 1};
    guest.vcpus[1].sregs.cr4 = 0x3506f0;
  });
  const Vcpu real = vcpu(1);
  const auto read = line_.vm->read_registers(VcpuId{1});
  ASSERT_TRUE(read) << to_text(read.error());
  const auto is = [&](Reg reg, std::uint64_t value) {
    EXPECT_EQ((*read)[reg], value) << kRegisters[static_cast<std::size_t>(reg)].name;
  };
  is(Reg::rax, real.regs.rax);
  is(Reg::rsp, real.regs.rsp);
  is(Reg::rbp, real.regs.rbp);
  is(Reg::rsi, real.regs.rsi);
  is(Reg::r8, real.regs.r8);
  is(Reg::r15, real.regs.r15);
  is(Reg::rip, real.regs.rip);
  is(Reg::rflags, real.regs.rflags);
  is(Reg::cs, 0x10);
  is(Reg::cs_limit, 0xffffffff);
  // Type 11, S, P, L, G as registers.hpp lays attributes out.
  is(Reg::cs_attributes, 0xa09b);
  is(Reg::fs, 0x2b);
  is(Reg::fs_base, 0x7f0000000000);
  is(Reg::fs_limit, 0xfffff);
  is(Reg::fs_attributes, 0x00f3);  // type 3, S, DPL 3, P
  EXPECT_EQ((*read)[Reg::ldt_attributes].value_or(0x80) & 0x80, 0U) << "an unusable segment";
  is(Reg::tr_base, real.sregs.tr.base);
  is(Reg::gdt_base, real.sregs.gdt.base);
  is(Reg::gdt_limit, real.sregs.gdt.limit);
  is(Reg::idt_base, real.sregs.idt.base);
  is(Reg::idt_limit, real.sregs.idt.limit);
  is(Reg::cr0, real.sregs.cr0);
  is(Reg::cr2, real.sregs.cr2);
  is(Reg::cr3, real.sregs.cr3);
  is(Reg::cr4, 0x3506f0);
  is(Reg::cr8, real.sregs.cr8);
  is(Reg::efer, real.sregs.efer);
  is(Reg::apic_base, real.sregs.apic_base);
  is(Reg::sysenter_cs, 0x10);
  is(Reg::sysenter_esp, 0xffff800000017500);
  is(Reg::sysenter_eip, 0xffff800000017600);
  is(Reg::star, 0x0023001000000000);
  is(Reg::lstar, 0xffff800000008200);
  is(Reg::cstar, 0xffff800000008300);
  EXPECT_FALSE((*read)[Reg::dr7]) << "KVMi does not tell it";
  EXPECT_EQ(line_.peer.count(Cmd::pause_vcpu), 0U) << "reading must not stop the guest";
}

TEST_P(KvmSimulatedRegisters, AnMsrThatTheGuestHasNotIsUnknown) {
  ASSERT_TRUE(line_.vm);
  line_.peer.look([](Guest& guest, auto&) {
    guest.vcpus[0].msrs.erase(0xc0000083);
    guest.vcpus[0].msrs.erase(0xc0000103);
  });
  const auto read = line_.vm->read_registers(VcpuId{0});
  ASSERT_TRUE(read) << to_text(read.error());
  EXPECT_FALSE((*read)[Reg::cstar]);
  EXPECT_FALSE((*read)[Reg::tsc_aux]);
  EXPECT_EQ((*read)[Reg::lstar], 0xffff800000008200U);
  EXPECT_TRUE((*read)[Reg::rax]);
}

TEST_P(KvmSimulatedRegisters, AVcpuThatDoesNotExist) {
  ASSERT_TRUE(line_.vm);
  for (const std::uint32_t vcpu : {2U, 0xffffU, 0x10000U, 0xffffffffU}) {
    const auto read = line_.vm->read_registers(VcpuId{vcpu});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::not_found) << to_text(read.error());
  }
}

TEST_P(KvmSimulatedRegisters, AreWrittenToARunningGuest) {
  ASSERT_TRUE(line_.vm);
  const Regs before = vcpu(1).regs;
  Registers some;
  some.set(Reg::rax, 0x1122334455667788);
  some.set(Reg::rip, 0x4000);
  const auto done = line_.vm->write_registers(VcpuId{1}, some);
  ASSERT_TRUE(done) << to_text(done.error());
  Regs expected = before;
  expected.rax = 0x1122334455667788;
  expected.rip = 0x4000;
  // A command of the same vCPU comes behind the reply that makes them hold.
  const auto again = line_.vm->read_registers(VcpuId{1});
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)[Reg::rax], 0x1122334455667788U);
  EXPECT_EQ(vcpu(1).regs, expected);
  EXPECT_EQ(line_.peer.look_at_kernel([](Kernel& kernel) { return kernel.owed_pauses(1); }), 0U);
}

TEST_P(KvmSimulatedRegisters, AreWrittenToAPausedGuest) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->pause());
  Registers some;
  some.set(Reg::rbx, 0xb0b);
  ASSERT_TRUE(line_.vm->write_registers(VcpuId{0}, some));
  Registers more;
  more.set(Reg::rcx, 0xcafe);
  ASSERT_TRUE(line_.vm->write_registers(VcpuId{0}, more));
  ASSERT_TRUE(line_.vm->resume());
  const auto read = line_.vm->read_registers(VcpuId{0});
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[Reg::rbx], 0xb0bU);
  EXPECT_EQ((*read)[Reg::rcx], 0xcafeU);
}

TEST_P(KvmSimulatedRegisters, WhatCannotBeWrittenIsNamedAndNothingChanges) {
  ASSERT_TRUE(line_.vm);
  const Regs before = vcpu(0).regs;
  Registers some;
  some.set(Reg::rax, 1);
  some.set(Reg::cr3, 0x1000);
  const auto done = line_.vm->write_registers(VcpuId{0}, some);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("cr3"));
  EXPECT_EQ(vcpu(0).regs, before);
}

TEST_P(KvmSimulatedRegisters, DuringAnEventTheyHoldOnceItIsAnswered) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{1}, CrWrite::Filter{Reg::cr3}));
  const auto outcome = line_.peer.begin(1, Deed::write_cr(3, 0x7000));
  auto event = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(event);
  Registers some;
  some.set(Reg::rdx, 0xd00d);
  ASSERT_TRUE(line_.vm->write_registers(VcpuId{1}, some));
  ASSERT_TRUE(event->reply(Proceed{}));
  line_.peer.wait(outcome);
  EXPECT_EQ(vcpu(1).regs.rdx, 0xd00dU);
  EXPECT_EQ(vcpu(1).sregs.cr3, 0x7000U);
}

MICROVMI_EACH_DIALECT(KvmSimulatedRegisters);

TEST(KvmSimulatedRegistersTest, AVmThatQemuHasStoppedIsTheReasonThatIsNamed) {
  Line line;
  auto params = line.params();
  params.timeout = 2s;
  auto vm = Line::open(params);
  ASSERT_TRUE(vm) << to_text(vm.error());
  line.peer.stop_vm(true);
  const auto read = vm->read_registers(VcpuId{0});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::timed_out) << to_text(read.error());
  EXPECT_THAT(to_text(read.error()), HasSubstr("stopped"));
  // The connection stands: memory is read, and registers once it goes on.
  std::vector<std::byte> bytes(16);
  EXPECT_TRUE(vm->memory().read(Gpa{0}, bytes));
  line.peer.stop_vm(false);
  EXPECT_TRUE(vm->read_registers(VcpuId{0}));
}

TEST(KvmSimulatedRegistersTest, RepliesInAnyOrderFindTheirCommands) {
  OpenLine line(KernelSetup{.backwards = true});
  ASSERT_TRUE(line.vm);
  for (const unsigned vcpu : {0U, 1U}) {
    const auto read = line.vm->read_registers(VcpuId{vcpu});
    ASSERT_TRUE(read);
    EXPECT_EQ((*read)[Reg::cr8], vcpu);
  }
}

}  // namespace
}  // namespace microvmi::test::kvmi
