// SPDX-License-Identifier: Apache-2.0
// Which processes are offered and accepted, and what is said of the others.
#include <sys/syscall.h>

#include <algorithm>
#include <thread>

#include "guest/kvm/opening.hpp"

namespace microvmi::test {
namespace {

using testing::HasSubstr;

class KvmFindingTest : public SlotsTest {};

std::expected<Vm, InitError> open_pid(std::uint32_t pid) {
  return init(DriverType::memflow,
              {.memflow = MemflowInitParams{.args = KvmConnectorParams{.pid = *Pid::of(pid)}}});
}

TEST_F(KvmFindingTest, ScanGivesWhatOpensIt) {
  const auto rows = scan({.ask_monitors = false});
  const auto ours = std::ranges::find_if(rows, [this](const Found& row) {
    return row.connector == Connector::kvm && row.pid == guest_->pid();
  });
  ASSERT_NE(ours, rows.end());
  EXPECT_EQ(ours->vcpus, 2U);
  const auto params = DriverParams(ours->params).read();
  ASSERT_TRUE(params);
  const auto vm = init(ours->driver, *params);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->info().pid, guest_->pid());
}

TEST_F(KvmFindingTest, WithoutAPidTheErrorListsWhatRuns) {
  const auto vm =
      init(DriverType::memflow, {.memflow = MemflowInitParams{.connector = Connector::kvm}});
  ASSERT_FALSE(vm);
  EXPECT_THAT(vm.error().message, HasSubstr("memflow.kvm.pid is required; running: "));
  EXPECT_THAT(vm.error().message, HasSubstr(std::to_string(guest_->pid()) + " (kvm_vmm)"));
}

TEST_F(KvmFindingTest, TheCommonPidWillDo) {
  const auto vm =
      init(DriverType::memflow, {.common = CommonInitParams{.pid = *Pid::of(guest_->pid())},
                                 .memflow = MemflowInitParams{.connector = Connector::kvm}});
  EXPECT_TRUE(vm) << vm.error().message;
}

TEST_F(KvmFindingTest, AProcessWithoutAVmIsRefused) {
  const auto none = open_pid(static_cast<std::uint32_t>(::getppid()));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("has no virtual machine of KVM's open"));
  const auto gone = open_pid(4'194'304);
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().message, HasSubstr("there is no process 4194304"));
}

// A descriptor can be handed on; the memory stays where it is.
TEST_F(KvmFindingTest, AnothersVmIsRefused) {
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, guest_->pid(), 0U));
  ASSERT_GE(pidfd, 0);
  const int copy =
      static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, guest_->truth()["vm_fd"].get<int>(), 0U));
  ::close(pidfd);
  ASSERT_GE(copy, 0);
  const auto vm = open_pid(static_cast<std::uint32_t>(::getpid()));
  ::close(copy);
  ASSERT_FALSE(vm);
  EXPECT_THAT(vm.error().message, HasSubstr("whose memory is another process's"));
}

TEST_F(KvmFindingTest, TwoVmsOfOneProcessAreRefused) {
  const auto made = guest_->ask("second vm");
  ASSERT_TRUE(made) << made.error();
  const auto vm = open_slots(*guest_);
  ASSERT_FALSE(vm);
  EXPECT_THAT(vm.error().message, HasSubstr("2 virtual machines"));
  // The one that was open stays the one that was found.
  EXPECT_TRUE(vm_->memory().refresh());
  expect_map();
}

TEST_F(KvmFindingTest, WithoutCapabilitiesTheReasonIsTold) {
  std::thread([this] {
    ASSERT_NO_FATAL_FAILURE(drop_bpf());
    const auto vm = open_slots(*guest_);
    ASSERT_FALSE(vm);
    EXPECT_EQ(vm.error().code, Errc::permission_denied);
    EXPECT_THAT(vm.error().message, HasSubstr("is no QEMU, and its memory slots are unknown: "));
    EXPECT_THAT(vm.error().message, HasSubstr("CAP_BPF"));
  }).join();
}

}  // namespace
}  // namespace microvmi::test
