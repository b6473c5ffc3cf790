// SPDX-License-Identifier: Apache-2.0
// Every event that KVMi has, with every reply that the interface offers for it.
#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;

class KvmSimulatedEvent : public EachDialect {
 protected:
  OpenLine line_{KernelSetup{.dialect = GetParam()}};
  [[nodiscard]] bool v12() const { return GetParam() == Dialect::v12; }
  [[nodiscard]] bool v6() const { return GetParam() == Dialect::v6; }

  void intercept(const Intercept& what, VcpuId vcpu = VcpuId{0}) {
    const auto done = line_.vm->intercept(vcpu, what);
    ASSERT_TRUE(done) << to_text(done.error());
  }

  // What is written when the event is answered like that.
  template <class E, class Reply>
  std::uint64_t written(const Deed& deed, Reply reply) {
    const auto outcome = line_.peer.begin(0, deed);
    auto event = take<E>(*line_.vm);
    if (!event) return ~0ULL;
    const auto done = event->reply(reply);
    EXPECT_TRUE(done) << to_text(done.error());
    return line_.peer.wait(outcome).written;
  }
};

TEST_P(KvmSimulatedEvent, AWriteOfAControlRegister) {
  ASSERT_TRUE(line_.vm);
  for (const auto& [reg, number] : {std::pair{Reg::cr0, 0U}, {Reg::cr3, 3U}, {Reg::cr4, 4U}}) {
    intercept(CrWrite::Filter{reg});
    const auto old = line_.vm->read_registers(VcpuId{0});
    ASSERT_TRUE(old);
    const auto outcome = line_.peer.begin(0, Deed::write_cr(number, 0x1111'0000));
    auto event = take<CrWrite>(*line_.vm);
    ASSERT_TRUE(event);
    EXPECT_EQ((*event)->cr, reg);
    EXPECT_EQ((*event)->old_value, (*old)[reg]);
    EXPECT_EQ((*event)->new_value, 0x1111'0000U);
    EXPECT_EQ(event->vcpu(), VcpuId{0});
    EXPECT_EQ(event->registers()[Reg::rip], 0x3000U);
    EXPECT_EQ(event->registers()[Reg::lstar], 0xffff800000008200U);
    ASSERT_TRUE(event->reply(Proceed{}));
    EXPECT_EQ(line_.peer.wait(outcome).written, 0x1111'0000U);
    EXPECT_EQ(written<CrWrite>(Deed::write_cr(number, 5), SetValue{0x42}), 0x42U);
    EXPECT_EQ(written<CrWrite>(Deed::write_cr(number, 6), Refuse{}), 0x42U);
  }
  const auto dropped = line_.peer.begin(0, Deed::write_cr(3, 0x7777));
  EXPECT_TRUE(take<CrWrite>(*line_.vm));
  EXPECT_EQ(line_.peer.wait(dropped).written, 0x7777U);
  EXPECT_FALSE(line_.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr8}));
  EXPECT_FALSE(line_.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::rax}));
}

TEST_P(KvmSimulatedEvent, AWriteOfAnMsr) {
  ASSERT_TRUE(line_.vm);
  for (const std::uint32_t msr : {0x174U, 0xc0000082U}) {
    intercept(MsrWrite::Filter{msr});
    const auto outcome = line_.peer.begin(0, Deed::write_msr(msr, 0x1234));
    auto event = take<MsrWrite>(*line_.vm);
    ASSERT_TRUE(event);
    EXPECT_EQ((*event)->msr, msr);
    EXPECT_EQ((*event)->old_value, usual_msrs()[msr]);
    EXPECT_EQ((*event)->new_value, 0x1234U);
    ASSERT_TRUE(event->reply(Proceed{}));
    EXPECT_EQ(line_.peer.wait(outcome).written, 0x1234U);
    EXPECT_EQ(written<MsrWrite>(Deed::write_msr(msr, 5), SetValue{0x4242}), 0x4242U);
    EXPECT_EQ(written<MsrWrite>(Deed::write_msr(msr, 6), Refuse{}), 0x4242U);
  }
  // One that was not asked for goes by.
  EXPECT_EQ(line_.peer.act(0, Deed::write_msr(0x175, 9)).events, 0U);
  EXPECT_FALSE(line_.vm->intercept(VcpuId{0}, MsrWrite::Filter{0x2000}));
  EXPECT_FALSE(line_.vm->intercept(VcpuId{0}, MsrWrite::Filter{0x40000000}));
}

TEST_P(KvmSimulatedEvent, AfterAReleaseNothingComes) {
  ASSERT_TRUE(line_.vm);
  intercept(CrWrite::Filter{Reg::cr3});
  intercept(CrWrite::Filter{Reg::cr4});
  // One that happened and was not taken yet is answered.
  const auto outcome = line_.peer.begin(0, Deed::write_cr(3, 0x5000));
  ASSERT_TRUE(line_.peer.wait_until([&] { return outcome->events == 1; }));
  ASSERT_TRUE(line_.vm->release(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  EXPECT_EQ(line_.peer.wait(outcome).written, 0x5000U);
  EXPECT_EQ(line_.peer.act(0, Deed::write_cr(3, 0x6000)).events, 0U);
  EXPECT_EQ(line_.vm->next_event(Wait::at_most(10ms)).error().code, Errc::timed_out);
  // The other one is still there.
  EXPECT_EQ(written<CrWrite>(Deed::write_cr(4, 0x60), SetValue{0x30}), 0x30U);
  const auto twice = line_.vm->release(VcpuId{0}, CrWrite::Filter{Reg::cr3});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, Errc::not_found);
  ASSERT_TRUE(line_.vm->release(VcpuId{0}, CrWrite::Filter{Reg::cr4}));
  EXPECT_THAT(line_.close(), IsEmpty());
}

TEST_P(KvmSimulatedEvent, EveryVcpuAtOnceAndBothMayStand) {
  ASSERT_TRUE(line_.vm);
  intercept(CrWrite::Filter{Reg::cr3}, kEveryVcpu);
  const auto first = line_.peer.begin(0, Deed::write_cr(3, 0xa000));
  const auto second = line_.peer.begin(1, Deed::write_cr(3, 0xb000));
  auto one = take<CrWrite>(*line_.vm);
  auto other = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(one && other);
  EXPECT_NE(one->vcpu(), other->vcpu());
  EXPECT_EQ((*one)->new_value, one->vcpu() == VcpuId{0} ? 0xa000U : 0xb000U);
  ASSERT_TRUE(other->reply(Refuse{}));
  ASSERT_TRUE(one->reply(SetValue{0xc000}));
  line_.peer.wait(first);
  line_.peer.wait(second);
  EXPECT_EQ(one->vcpu() == VcpuId{0} ? first->written : second->written, 0xc000U);
}

TEST_P(KvmSimulatedEvent, AnAnswerCountsOnce) {
  ASSERT_TRUE(line_.vm);
  intercept(CrWrite::Filter{Reg::cr3});
  const auto outcome = line_.peer.begin(0, Deed::write_cr(3, 0xa000));
  auto event = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(event);
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_EQ(event->reply(Refuse{}).error().code, Errc::disconnected);
  EXPECT_EQ(line_.peer.wait(outcome).written, 0xa000U);
}

TEST_P(KvmSimulatedEvent, AnInt3) {
  ASSERT_TRUE(line_.vm);
  line_.peer.poke(0x3000, Bytes{kInt3, kInt3});
  intercept(Int3::Filter{});
  const auto outcome = line_.peer.begin(0, Deed::run(2));
  auto event = take<Int3>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->gva, Gva{0x3000});
  EXPECT_EQ((*event)->gpa, Gpa{0x3000});
  EXPECT_EQ((*event)->length, 1U);
  ASSERT_TRUE(event->reply(Proceed{}));  // the guest's own #BP
  auto second = take<Int3>(*line_.vm);
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->gva, Gva{0x3001});
  Registers rip;
  rip.set(Reg::rip, 0x3002);
  ASSERT_TRUE(line_.vm->write_registers(VcpuId{0}, rip));
  ASSERT_TRUE(second->reply(Retry{}));
  line_.peer.wait(outcome);
  EXPECT_EQ(outcome->own_exceptions, 1U);
  EXPECT_EQ(outcome->events, 2U);
}

TEST_P(KvmSimulatedEvent, ADescriptorTable) {
  ASSERT_TRUE(line_.vm);
  intercept(DescriptorAccess::Filter{});
  using Table = DescriptorAccess::Table;
  for (const auto& [number, table] :
       {std::pair{1, Table::idt}, {2, Table::gdt}, {3, Table::ldt}, {4, Table::tr}}) {
    const auto outcome =
        line_.peer.begin(0, Deed::descriptor(static_cast<std::uint8_t>(number), number % 2 == 0));
    auto event = take<DescriptorAccess>(*line_.vm);
    ASSERT_TRUE(event);
    EXPECT_EQ((*event)->table, table);
    EXPECT_EQ((*event)->write, number % 2 == 0);
    const bool skip = number == 4;
    ASSERT_TRUE(skip ? event->reply(Retry{}) : event->reply(Proceed{}));
    EXPECT_EQ(line_.peer.wait(outcome).skipped, skip);
  }
}

TEST_P(KvmSimulatedEvent, AnXsetbv) {
  ASSERT_TRUE(line_.vm);
  intercept(Xsetbv::Filter{});
  const auto outcome = line_.peer.begin(0, Deed::write_xcr(3));
  auto event = take<Xsetbv>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->old_value, v12() ? std::optional<std::uint64_t>(7) : std::nullopt);
  EXPECT_EQ((*event)->new_value, v12() ? std::optional<std::uint64_t>(3) : std::nullopt);
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_EQ(line_.peer.wait(outcome).written, 3U);
}

TEST_P(KvmSimulatedEvent, AHypercall) {
  ASSERT_TRUE(line_.vm);
  intercept(Hypercall::Filter{});
  const auto outcome = line_.peer.begin(0, Deed::hypercall());
  auto event = take<Hypercall>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->number, 34U);
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_TRUE(line_.peer.wait(outcome).done);
}

TEST_P(KvmSimulatedEvent, ACpuid) {
  ASSERT_TRUE(line_.vm);
  if (GetParam() != Dialect::v7) {
    const auto done = line_.vm->intercept(VcpuId{0}, Cpuid::Filter{});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::not_supported);
    return;
  }
  intercept(Cpuid::Filter{});
  const auto outcome = line_.peer.begin(0, Deed::cpuid(1, 7));
  auto event = take<Cpuid>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->leaf, 1U);
  EXPECT_EQ((*event)->subleaf, 7U);
  ASSERT_TRUE(event->reply(CpuidResult{.eax = 1, .ebx = 2, .ecx = 3, .edx = 0xffffffff}));
  EXPECT_EQ(line_.peer.wait(outcome).events, 1U);
  const auto regs = line_.peer.look([](Guest& guest, auto&) { return guest.vcpus[0].regs; });
  EXPECT_EQ(regs.rax, 1U);
  EXPECT_EQ(regs.rbx, 2U);
  EXPECT_EQ(regs.rcx, 3U);
  EXPECT_EQ(regs.rdx, 0xffffffffU);
  EXPECT_EQ(regs.rip, 0x3002U);
}

TEST_P(KvmSimulatedEvent, ACpuidThatProceedsGivesWhatTheKernelGives) {
  if (GetParam() != Dialect::v7) return;  // the test above has seen it refused
  ASSERT_TRUE(line_.vm);
  intercept(Cpuid::Filter{});
  const auto outcome = line_.peer.begin(0, Deed::cpuid(1, 0));
  EXPECT_TRUE(take<Cpuid>(*line_.vm));  // dropped
  line_.peer.wait(outcome);
  const auto regs = line_.peer.look([](Guest& guest, auto&) { return guest.vcpus[0].regs; });
  EXPECT_EQ(regs.rax, 0x11U);  // what GET_CPUID says
  EXPECT_EQ(regs.rdx, 0x40U);
  EXPECT_EQ(regs.rip, 0x3002U);
}

TEST_P(KvmSimulatedEvent, SingleSteps) {
  ASSERT_TRUE(line_.vm);
  if (v6()) {
    const auto done = line_.vm->intercept(VcpuId{0}, SingleStep::Filter{});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::not_supported);
    return;
  }
  intercept(SingleStep::Filter{});
  for (std::uint64_t i = 1; i != 6; ++i) {
    auto event = take<SingleStep>(*line_.vm);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->registers()[Reg::rip], 0x3000 + i);
    EXPECT_TRUE((*event)->completed);
    ASSERT_TRUE(event->reply(Proceed{}));
  }
  ASSERT_TRUE(line_.vm->release(VcpuId{0}, SingleStep::Filter{}));
  EXPECT_FALSE(line_.vm->next_event(Wait::at_most(20ms)));
  EXPECT_THAT(line_.close(), IsEmpty());
}

MICROVMI_EACH_DIALECT(KvmSimulatedEvent);

}  // namespace
}  // namespace microvmi::test::kvmi
