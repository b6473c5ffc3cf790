// SPDX-License-Identifier: Apache-2.0
// vCPUs that appear, guests that are taken away, exceptions that are injected.
#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;

class KvmSimulatedVmEvent : public EachDialect {
 protected:
  OpenLine line_{KernelSetup{.dialect = GetParam()}};
  [[nodiscard]] bool v12() const { return GetParam() == Dialect::v12; }

  void intercept(const Intercept& what, VcpuId vcpu = VcpuId{0}) {
    const auto done = line_.vm->intercept(vcpu, what);
    ASSERT_TRUE(done) << to_text(done.error());
  }
};

TEST_P(KvmSimulatedVmEvent, AVcpuThatAppears) {
  ASSERT_TRUE(line_.vm);
  if (v12()) {
    EXPECT_EQ(line_.vm->intercept(kEveryVcpu, VcpuCreated::Filter{}).error().code,
              Errc::not_supported);
    return;
  }
  intercept(VcpuCreated::Filter{}, kEveryVcpu);
  intercept(CrWrite::Filter{Reg::cr3}, kEveryVcpu);
  const unsigned number = line_.peer.add_vcpu();
  const auto outcome = line_.peer.begin(number, Deed::appear());
  auto event = take<VcpuCreated>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->vcpu(), VcpuId{number});
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_TRUE(line_.peer.wait(outcome).done);
  // What kEveryVcpu asked for holds for it too.
  const auto write = line_.peer.begin(number, Deed::write_cr(3, 0x8000));
  auto cr = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(cr);
  EXPECT_EQ(cr->vcpu(), VcpuId{number});
  ASSERT_TRUE(cr->reply(Proceed{}));
  EXPECT_EQ(line_.peer.wait(write).written, 0x8000U);
  EXPECT_TRUE(line_.vm->read_registers(VcpuId{number}));
}

TEST_P(KvmSimulatedVmEvent, TheGuestIsAboutToBeTakenAway) {
  ASSERT_TRUE(line_.vm);
  intercept(Detached::Filter{}, kEveryVcpu);
  ASSERT_TRUE(line_.peer.suspend());
  auto event = take<Detached>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->vcpu(), kEveryVcpu);
  EXPECT_TRUE(event->registers().known().none());
  EXPECT_TRUE(event->reply(Proceed{}));  // nothing is sent: the peer would tell
  EXPECT_THAT(line_.close(), IsEmpty());
}

TEST_P(KvmSimulatedVmEvent, AnExceptionIsInjectedAndTold) {
  ASSERT_TRUE(line_.vm);
  intercept(TrapDelivered::Filter{});
  const Exception fault{.vector = 14, .error_code = 6, .address = Gva{0x7fff1234}};
  ASSERT_TRUE(line_.vm->inject(VcpuId{0}, fault));
  auto event = take<TrapDelivered>(*line_.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->exception.vector, 14U);
  EXPECT_EQ((*event)->exception.error_code, 6U);
  EXPECT_EQ((*event)->exception.address, Gva{0x7fff1234});
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_EQ(line_.peer.look([](auto&, Record& record) { return record.injected; }),
            (std::vector<Injected>{{14, 6, 0x7fff1234}}));
}

TEST_P(KvmSimulatedVmEvent, AnInjectionWithoutTheEventDisturbsNobody) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->inject(VcpuId{1}, {.vector = 3}));
  EXPECT_FALSE(line_.vm->next_event(Wait::at_most(10ms)));
  // v12 tells it always; the vCPU must go on nevertheless.
  EXPECT_TRUE(line_.peer.wait_until([this] { return !line_.peer.kernel_unlocked().waits(1); }));
}

TEST_P(KvmSimulatedVmEvent, TheSecondInjectionIsTooMany) {
  ASSERT_TRUE(line_.vm);
  intercept(CrWrite::Filter{Reg::cr3});
  const auto outcome = line_.peer.begin(0, Deed::write_cr(3, 0xa000));
  auto event = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(event);
  ASSERT_TRUE(line_.vm->inject(VcpuId{0}, {.vector = 6}));
  EXPECT_EQ(line_.vm->inject(VcpuId{0}, {.vector = 13, .error_code = 0}).error().code, Errc::busy);
  ASSERT_TRUE(event->reply(Proceed{}));
  line_.peer.wait(outcome);
}

TEST_P(KvmSimulatedVmEvent, ALongerCommonPartIsNoMatter) {
  OpenLine line(KernelSetup{.dialect = GetParam(), .common_extra = 24});
  ASSERT_TRUE(line.vm);
  ASSERT_TRUE(line.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  const auto outcome = line.peer.begin(0, Deed::write_cr(3, 0xa000));
  auto event = take<CrWrite>(*line.vm);
  ASSERT_TRUE(event);
  EXPECT_EQ((*event)->new_value, 0xa000U);
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_EQ(line.peer.wait(outcome).written, 0xa000U);
}

MICROVMI_EACH_DIALECT(KvmSimulatedVmEvent);

}  // namespace
}  // namespace microvmi::test::kvmi
