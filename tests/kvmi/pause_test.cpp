// SPDX-License-Identifier: Apache-2.0
// Pausing: one event is owed for each pause, and the guest runs once all are answered.
#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;

class KvmSimulatedPause : public EachDialect {
 protected:
  explicit KvmSimulatedPause(KernelSetup setup = {})
      : line_([&] {
          setup.dialect = GetParam();
          return setup;
        }()) {}

  unsigned owed(unsigned vcpu) {
    return line_.peer.look_at_kernel([vcpu](Kernel& kernel) { return kernel.owed_pauses(vcpu); });
  }
  bool stands(unsigned vcpu) {
    return line_.peer.look_at_kernel([vcpu](Kernel& kernel) { return kernel.waits(vcpu); });
  }
  bool wait_for_nothing_owed() {
    return line_.peer.wait_until([this] {
      return line_.peer.kernel_unlocked().owed_pauses(0) == 0 &&
             line_.peer.kernel_unlocked().owed_pauses(1) == 0;
    });
  }

  OpenLine line_;
};

TEST_P(KvmSimulatedPause, EveryVcpuStandsAndGoesOn) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->pause());
  EXPECT_TRUE(stands(0));
  EXPECT_TRUE(stands(1));
  const auto running = line_.vm->running();
  ASSERT_TRUE(running);
  EXPECT_FALSE(*running);
  ASSERT_TRUE(line_.vm->resume());
  EXPECT_TRUE(wait_for_nothing_owed());
  EXPECT_EQ(line_.peer.count(Cmd::pause_vcpu), 2U);
}

TEST_P(KvmSimulatedPause, PausesNest) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->pause());
  ASSERT_TRUE(line_.vm->pause());
  ASSERT_TRUE(line_.vm->resume());
  EXPECT_TRUE(stands(0));
  ASSERT_TRUE(line_.vm->resume());
  EXPECT_TRUE(wait_for_nothing_owed());
  const auto again = line_.vm->resume();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::busy);
  for (int i = 0; i != 20; ++i) {
    ASSERT_TRUE(line_.vm->pause()) << i;
    ASSERT_TRUE(line_.vm->resume()) << i;
  }
  EXPECT_TRUE(wait_for_nothing_owed());
}

TEST_P(KvmSimulatedPause, ClosingReleasesThem) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->pause());
  EXPECT_THAT(line_.close(), IsEmpty());
}

TEST_P(KvmSimulatedPause, AVcpuThatStandsInAnEventGoesOnOnceThatIsAnswered) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  const auto outcome = line_.peer.begin(0, Deed::write_cr(3, 0x6000));
  auto event = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(event);
  ASSERT_TRUE(line_.vm->pause());
  EXPECT_EQ(owed(0), 1U);
  EXPECT_TRUE(stands(1));
  ASSERT_TRUE(line_.vm->resume());
  ASSERT_TRUE(event->reply(SetValue{0x9000}));
  EXPECT_EQ(line_.peer.wait(outcome).written, 0x9000U);
  EXPECT_TRUE(wait_for_nothing_owed());
}

TEST_P(KvmSimulatedPause, AnEventThatNobodyTookYetDoesNotStopThePause) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  const auto outcome = line_.peer.begin(0, Deed::write_cr(3, 0x6000));
  ASSERT_TRUE(line_.vm->pause());
  ASSERT_TRUE(line_.vm->resume());
  auto event = take<CrWrite>(*line_.vm);
  ASSERT_TRUE(event);
  ASSERT_TRUE(event->reply(Proceed{}));
  EXPECT_EQ(line_.peer.wait(outcome).written, 0x6000U);
  EXPECT_TRUE(wait_for_nothing_owed());
}

TEST_P(KvmSimulatedPause, NoPauseIsToldAsAnEvent) {
  ASSERT_TRUE(line_.vm);
  ASSERT_TRUE(line_.vm->intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3}));
  ASSERT_TRUE(line_.vm->pause());
  EXPECT_FALSE(line_.vm->next_event(Wait::at_most(20ms)));
  ASSERT_TRUE(line_.vm->resume());
  EXPECT_TRUE(wait_for_nothing_owed());
}

MICROVMI_EACH_DIALECT(KvmSimulatedPause);

class KvmSimulatedPauseFirst : public KvmSimulatedPause {
 protected:
  KvmSimulatedPauseFirst() : KvmSimulatedPause({.pause_event_first = true}) {}
};

TEST_P(KvmSimulatedPauseFirst, TheEventMayComeBeforeTheReply) {
  ASSERT_TRUE(line_.vm);
  for (int i = 0; i != 3; ++i) {
    ASSERT_TRUE(line_.vm->pause());
    EXPECT_TRUE(stands(1));
    ASSERT_TRUE(line_.vm->resume());
    EXPECT_TRUE(wait_for_nothing_owed());
  }
}

MICROVMI_EACH_DIALECT(KvmSimulatedPauseFirst);

TEST(KvmSimulatedPauseTest, AVcpuThatNeverRanIsNotWaitedFor) {
  Guest guest = usual_guest(2);
  guest.vcpus[1].started = false;
  Line line(PeerOptions{}, std::move(guest));
  auto params = line.params();
  params.timeout = 3s;
  auto vm = Line::open(params);
  ASSERT_TRUE(vm) << to_text(vm.error());
  ASSERT_TRUE(vm->pause());
  ASSERT_TRUE(vm->resume());
  // Its event comes when it runs for the first time, and must not stop it for ever.
  line.peer.start_vcpu(1);
  EXPECT_TRUE(
      line.peer.wait_until([&] { return line.peer.kernel_unlocked().owed_pauses(1) == 0; }));
}

TEST(KvmSimulatedPauseTest, ADeniedPauseIsNoPermission) {
  OpenLine line(KernelSetup{.refuse = {{Cmd::pause_vcpu, kPerm}}});
  ASSERT_TRUE(line.vm);
  const auto done = line.vm->pause();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::permission_denied) << to_text(done.error());
}

}  // namespace
}  // namespace microvmi::test::kvmi
