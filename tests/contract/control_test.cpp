// SPDX-License-Identifier: Apache-2.0
// Running, pausing, registers, events: where claimed they work, else they are told to be missing.
#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

class ControlContract : public ContractTest {};

TEST_P(ControlContract, PausesNestAndTheGuestRunsAgain) {
  if (!can(Capability::run_control)) {
    EXPECT_EQ(vm_->pause().error().code, Errc::not_supported);
    EXPECT_EQ(vm_->resume().error().code, Errc::not_supported);
    return;
  }
  const auto check_running = [&](bool expected) {
    const auto running = subject_->running();
    EXPECT_EQ(running.value_or(expected), expected);
  };
  check_running(true);
  ASSERT_TRUE(vm_->pause());
  check_running(false);
  ASSERT_TRUE(vm_->pause());
  ASSERT_TRUE(vm_->resume());
  check_running(false);
  ASSERT_TRUE(vm_->resume());
  check_running(true);
  EXPECT_EQ(vm_->resume().error().code, Errc::busy);
}

TEST_P(ControlContract, ClosingRestoresWhatWasFound) {
  if (!can(Capability::run_control)) return;  // the test above has seen it refused
  ASSERT_TRUE(vm_->pause());
  vm_.reset();
  EXPECT_TRUE(subject_->running().value_or(true));
}

TEST_P(ControlContract, MemoryIsReadWhileTheGuestIsPaused) {
  if (!can(Capability::run_control)) return;  // the test above has seen it refused
  ASSERT_TRUE(vm_->pause());
  const Gpa gpa = still_.front().gpa;
  std::vector<std::byte> bytes(kPageSize);
  ASSERT_TRUE(memory().read(gpa, bytes));
  EXPECT_EQ(bytes, truth(gpa, kPageSize));
}

TEST_P(ControlContract, RegistersAreTheGuestsOrAreMissing) {
  const auto known = subject_->registers();
  const auto read = vm_->read_registers(VcpuId{0});
  if (!can(Capability::registers)) {
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::not_supported);
    EXPECT_EQ(vm_->write_registers(VcpuId{0}, {}).error().code, Errc::not_supported);
    return;
  }
  ASSERT_TRUE(read) << to_text(read.error());
  EXPECT_TRUE(read->known().any()) << "it claims registers and knows none";
  for (const auto& [reg, value] : known)
    EXPECT_EQ((*read)[reg].value_or(value), value)
        << kRegisters[static_cast<std::size_t>(reg)].name;
  EXPECT_FALSE(vm_->read_registers(VcpuId{1000})) << "there is no such vcpu";
}

TEST_P(ControlContract, EventsAreThereOrAreMissing) {
  const auto event = vm_->next_event(Wait::at_most(std::chrono::milliseconds(10)));
  ASSERT_FALSE(event) << "nothing was asked for";
  EXPECT_EQ(event.error().code, can(Capability::events) ? Errc::timed_out : Errc::not_supported);
}

INSTANTIATE_TEST_SUITE_P(All, ControlContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
