// SPDX-License-Identifier: Apache-2.0
// A KVM machine of our own, opened by the kvm connector as a user opens it.
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "microvmi/init.hpp"
#include "support/kvm_guest.hpp"

namespace microvmi::test {

[[nodiscard]] inline std::expected<Vm, InitError> open_kvm(std::uint32_t pid, Intrusive intrusive) {
  const KvmConnectorParams params{.pid = *Pid::of(pid), .intrusive = intrusive};
  return init(DriverType::memflow,
              DriverInitParams{.memflow = MemflowInitParams{.args = ConnectorArgs(params)}});
}

class KvmMachineTest : public testing::Test {
 protected:
  // `args` of kvm_vmm; the test is skipped where there is no KVM, or no way to its memory slots.
  void start(std::vector<std::string> args) {
    if (const std::string none = why_no_slots(); !none.empty()) GTEST_SKIP() << none;
    if (!MICROVMI_HAS_BPF) GTEST_SKIP() << "reading memory slots by BPF is not built in";
    auto guest = KvmGuest::start(std::move(args));
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
  }

  void open(Intrusive intrusive) {
    auto vm = open_kvm(guest_->pid(), intrusive);
    ASSERT_TRUE(vm) << vm.error().message;
    vm_.emplace(*std::move(vm));
  }

  // What the VMM says of a vCPU: as it was given it, or as KVM tells while the VMM holds it.
  [[nodiscard]] nlohmann::json given(std::size_t vcpu) const {
    return guest_->truth()["vcpus"][vcpu]["registers"];
  }
  nlohmann::json ask(const std::string& command) const {
    const auto answer = guest_->ask(command);
    EXPECT_TRUE(answer) << answer.error();
    return answer.value_or(nlohmann::json());
  }

  std::unique_ptr<KvmGuest> guest_;
  std::optional<Vm> vm_;
};

// The registers that this machine's guest changes.
[[nodiscard]] inline bool moves(std::string_view name) {
  return name == "r12" || name == "rip" || name == "rflags";
}

// Every known register that the VMM tells too is what it says; gives how many those are.
inline int expect_as_told(const Registers& registers, const nlohmann::json& truth) {
  int compared = 0;
  for (const RegisterInfo& info : kRegisters) {
    const auto value = registers[info.reg];
    const std::string name = info.reg == Reg::fmask ? "sfmask" : info.name;
    if (!value || !truth.contains(name) || moves(name)) continue;
    EXPECT_EQ(*value, truth[name].get<std::uint64_t>()) << name;
    ++compared;
  }
  return compared;
}

}  // namespace microvmi::test
