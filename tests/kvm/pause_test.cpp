// SPDX-License-Identifier: Apache-2.0
// Pausing by holding the threads of the vCPUs.
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "kvm/machine.hpp"

namespace microvmi {
namespace {

using namespace std::chrono_literals;

class KvmPauseTest : public test::KvmMachineTest {
 protected:
  static Errc code_of(const Expected<Registers>& answer) {
    return answer ? Errc::none : answer.error().code;
  }
  [[nodiscard]] nlohmann::json counters() const { return ask("status")["counters"]; }
};

TEST_F(KvmPauseTest, AHeldGuestStandsStillAndGoesOn) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  EXPECT_EQ(vm_->running(), true);
  ASSERT_TRUE(vm_->pause());
  ASSERT_TRUE(vm_->pause()) << "pauses nest";
  EXPECT_EQ(vm_->running(), false);
  const auto before = counters();
  const auto first = vm_->read_registers(VcpuId{1});
  ASSERT_TRUE(first) << to_text(first.error());
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(counters(), before);
  EXPECT_EQ(vm_->read_registers(VcpuId{1}), *first);
  // The guest counts in r12 and then stores it.
  const auto r12 = *(*first)[Reg::r12];
  EXPECT_LE(r12 - before[1].get<std::uint64_t>(), 1U);
  ASSERT_TRUE(vm_->resume());
  EXPECT_EQ(vm_->running(), false);
  ASSERT_TRUE(vm_->resume());
  EXPECT_EQ(vm_->running(), true);
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmPauseTest, WrittenRegistersOfAHeldGuestAreReadBack) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  ASSERT_TRUE(vm_->pause());
  const auto before = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(before);
  Registers wanted;
  wanted.set(Reg::r14, 0x5A5A);
  wanted.set(Reg::star, 0x1234);
  ASSERT_TRUE(vm_->write_registers(VcpuId{0}, wanted));
  auto expected = *before;
  expected.set(Reg::r14, 0x5A5A);
  expected.set(Reg::star, 0x1234);
  EXPECT_EQ(vm_->read_registers(VcpuId{0}), expected);
  ASSERT_TRUE(vm_->resume());
  EXPECT_TRUE(guest_->undisturbed());
  EXPECT_EQ(ask("stop")["registers"][0]["r14"], 0x5A5A);
}

TEST_F(KvmPauseTest, ClosingLetsItGoOn) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  ASSERT_TRUE(vm_->driver().run_control()->pause());
  EXPECT_FALSE(vm_->driver().run_control()->stays_paused());
  vm_.reset();
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmPauseTest, WhatAnotherHoldsIsBusyUntilItLetsGo) {
  start({"vcpus=1"});
  if (!guest_) return;
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  auto other = test::open_kvm(guest_->pid(), Intrusive::sync_regs);
  ASSERT_TRUE(other);
  ASSERT_TRUE(vm_->pause());
  const auto refused = other->read_registers(VcpuId{0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::busy) << to_text(refused.error());
  ASSERT_TRUE(vm_->resume());
  EXPECT_TRUE(other->read_registers(VcpuId{0}));
  EXPECT_TRUE(vm_->read_registers(VcpuId{0}));
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmPauseTest, AVmmThatIsKilledWhileItIsHeldGoesAway) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  ASSERT_TRUE(vm_->pause());
  guest_->kill();  // waits for its end, which a thread that is still traced would put off
  EXPECT_EQ(vm_->read_registers(VcpuId{0}).error().code, Errc::disconnected);
  EXPECT_EQ(vm_->write_registers(VcpuId{1}, {}).error().code, Errc::disconnected);
  EXPECT_EQ(vm_->running().error().code, Errc::disconnected);
}

// A job control stop is somebody else's: it lasts, and the guest goes on after it.
TEST_F(KvmPauseTest, AVmmThatIsStoppedByASignalStaysSo) {
  start({"vcpus=1"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  ASSERT_TRUE(vm_->read_registers(VcpuId{0}));
  const auto before = counters();
  ::kill(static_cast<pid_t>(guest_->pid()), SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(static_cast<pid_t>(guest_->pid()), &status, WUNTRACED),
            static_cast<pid_t>(guest_->pid()));
  ASSERT_TRUE(WIFSTOPPED(status)) << "all of its threads have stopped";
  EXPECT_EQ(code_of(vm_->read_registers(VcpuId{0})), Errc::timed_out);
  ::kill(static_cast<pid_t>(guest_->pid()), SIGCONT);
  for (int i = 0; i < 1000 && counters() == before; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_NE(counters(), before);
  EXPECT_TRUE(vm_->read_registers(VcpuId{0}));
}

TEST_F(KvmPauseTest, AVmmThatIsKilledInTheMiddleIsGone) {
  start({"vcpus=2"});
  if (!guest_) return;
  open(Intrusive::inject);
  ASSERT_TRUE(vm_);
  std::jthread killer([this] {
    std::this_thread::sleep_for(100ms);
    ::kill(static_cast<pid_t>(guest_->pid()), SIGKILL);
  });
  Expected<Registers> registers;
  do registers = vm_->read_registers(VcpuId{0});
  while (registers);
  EXPECT_EQ(registers.error().code, Errc::disconnected) << to_text(registers.error());
}

}  // namespace
}  // namespace microvmi
