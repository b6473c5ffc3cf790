// SPDX-License-Identifier: Apache-2.0
// The machine of tests/support/kvm_vmm, opened by the kvm connector.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "microvmi/init.hpp"
#include "support/kvm_guest.hpp"

namespace microvmi::test {

inline std::expected<Vm, InitError> open_slots(const KvmGuest& guest,
                                               Intrusive intrusive = Intrusive::none) {
  return init(DriverType::memflow,
              {.memflow = MemflowInitParams{.args = KvmConnectorParams{.pid = *Pid::of(guest.pid()),
                                                                       .intrusive = intrusive}}});
}

inline std::optional<std::string> fact(const Vm& vm, const std::string& name) {
  for (const Fact& one : vm.info().facts)
    if (const auto* text = std::get_if<std::string>(&one.value); text && one.name == name)
      return *text;
  return std::nullopt;
}

// Takes from this thread alone what BPF needs.
inline void drop_bpf() {
  __user_cap_header_struct head{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  ASSERT_EQ(::syscall(SYS_capget, &head, sets.data()), 0);
  for (const unsigned one : {CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON})
    sets[one / 32].effective &= ~(1U << (one % 32U));
  ASSERT_EQ(::syscall(SYS_capset, &head, sets.data()), 0);
}

// A machine that runs, opened.
class SlotsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string none = why_no_slots(); !none.empty()) GTEST_SKIP() << none;
    start({});
  }

  void start(const std::vector<std::string>& args) {
    vm_.reset();
    auto guest = KvmGuest::start(args);
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
    auto vm = open_slots(*guest_);
    ASSERT_TRUE(vm) << vm.error().message;
    vm_.emplace(*std::move(vm));
  }

  // The map is what the VMM has now.
  void expect_map() const {
    const auto map = guest_->memory_map();
    ASSERT_TRUE(map) << map.error();
    EXPECT_EQ(vm_->memory().map()->regions, *map);
  }

  void expect_bytes(std::uint64_t gpa, std::size_t size) const {
    const auto theirs = guest_->memory(gpa, size);
    ASSERT_TRUE(theirs) << theirs.error();
    std::vector<std::byte> ours(size);
    const auto done = vm_->memory().read(Gpa{gpa}, ours);
    ASSERT_TRUE(done) << to_text(done.error());
    EXPECT_TRUE(ours == *theirs) << "at " << std::hex << gpa;
  }

  void tell(const std::string& command) const {
    const auto answer = guest_->ask(command);
    ASSERT_TRUE(answer) << answer.error();
    ASSERT_FALSE(answer->contains("error")) << answer->dump();
  }

  std::unique_ptr<KvmGuest> guest_;
  std::optional<Vm> vm_;
};

}  // namespace microvmi::test
