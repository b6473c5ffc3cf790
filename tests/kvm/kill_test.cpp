// SPDX-License-Identifier: Apache-2.0
// A program that is killed while it reads, writes, holds or tracks leaves the VMM and its guest as
// they were.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <random>
#include <thread>

#include "kvm/machine.hpp"

namespace microvmi {
namespace {

using std::chrono::microseconds;

struct Mode {
  const char* name;
  Intrusive intrusive;
  bool (*work)(Vm& vm);  // again and again until the end; false where it failed
};

bool read(Vm& vm) { return vm.read_all_registers().has_value(); }

bool write(Vm& vm) {
  Registers wanted;
  wanted.set(Reg::lstar, 0xFFFF'8000'0000'2000);
  return vm.write_registers(VcpuId{0}, wanted).has_value();
}

bool hold(Vm& vm) { return vm.pause() && vm.read_registers(VcpuId{1}) && vm.resume(); }

bool track(Vm& vm) {
  auto pages = vm.dirty_pages();
  return pages && (*pages)->begin() && (*pages)->take() && (*pages)->end();
}

class KvmKillTest : public test::KvmMachineTest, public testing::WithParamInterface<Mode> {
 protected:
  // A child that opens the guest, says so, and works until it is killed.
  pid_t start_child(int ready) const {
    const pid_t child = ::fork();
    if (child != 0) return child;
    auto vm = test::open_kvm(guest_->pid(), GetParam().intrusive);
    if (!vm || ::write(ready, "r", 1) != 1) ::_exit(2);
    while (GetParam().work(*vm)) continue;
    ::_exit(3);
  }

  void kill_at_random(int times) {
    std::mt19937 random(4711);
    std::uniform_int_distribution<int> delay(0, 12'000);
    for (int i = 0; i < times; ++i) {
      std::array<int, 2> ends{};
      ASSERT_EQ(::pipe(ends.data()), 0);
      const pid_t child = start_child(ends[1]);
      ASSERT_GT(child, 0);
      ::close(ends[1]);
      char byte = 0;
      ASSERT_EQ(::read(ends[0], &byte, 1), 1) << "the child could not open the guest";
      ::close(ends[0]);
      std::this_thread::sleep_for(microseconds(delay(random)));
      ::kill(child, SIGKILL);
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status)) << "it failed by itself: " << WEXITSTATUS(status);
      expect_progress(i);
    }
    // A kill between the stop and the next instruction of ours lets EINTR through.
    RecordProperty("interrupted", ask("status")["interrupted"].get<int>());
  }

  void expect_progress(int round) {
    const auto before = ask("status");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto now = ask("status");
      ASSERT_EQ(now["corrupted"], 0) << "the guest saw its registers changed, round " << round;
      bool all = true;
      for (std::size_t i = 0; i < now["counters"].size(); ++i)
        all = all && now["counters"][i] > before["counters"][i];
      if (all) return;
    }
    FAIL() << "a vCPU stands still after round " << round;
  }
};

TEST_P(KvmKillTest, LeavesTheGuestRunning) {
  start({"vcpus=2", "mask=4095"});
  if (guest_) kill_at_random(12);
}

TEST_P(KvmKillTest, SlowLeavesTheGuestRunningTwoHundredTimes) {
  start({"vcpus=2", "mask=4095"});
  if (guest_) kill_at_random(200);
}

INSTANTIATE_TEST_SUITE_P(Modes, KvmKillTest,
                         testing::Values(Mode{"sync_regs", Intrusive::sync_regs, read},
                                         Mode{"inject", Intrusive::inject, read},
                                         Mode{"write", Intrusive::inject, write},
                                         Mode{"hold", Intrusive::sync_regs, hold},
                                         Mode{"track", Intrusive::inject, track}),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace microvmi
