// SPDX-License-Identifier: Apache-2.0
// A live guest whose vCPUs count what they do, for the tests of events.
#pragma once

#include "guest/qemu/driver.hpp"

namespace microvmi::test {

// Generous, for a busy machine; what comes, comes in a millisecond.
inline constexpr std::chrono::seconds kPatience{30};

class EventsTest : public testing::Test {
 public:
  void boot(unsigned vcpus, std::string machine = "pc", std::vector<std::string> more = {}) {
    std::vector<std::string> args{"-smp", std::to_string(vcpus)};
    args.insert(args.end(), more.begin(), more.end());
    auto guest = TinyGuest::boot({.machine = std::move(machine), .memory = "64M", .args = args});
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
    auto vm = open_driver(guest_->qemu());
    ASSERT_TRUE(vm) << vm.error().message;
    vm_.emplace(*std::move(vm));
  }

  void start_loop(unsigned vcpus, unsigned rounds) {
    ASSERT_TRUE(
        guest_->qemu().type("hot " + std::to_string(vcpus) + " " + std::to_string(rounds) + "\n"));
  }

  [[nodiscard]] Gva hot_point() const { return Gva{guest_->truth().hot_point}; }
  [[nodiscard]] std::uint64_t count(unsigned vcpu) const {
    return vm_->memory()
        .read_value<std::uint64_t>(Gpa{guest_->truth().hot_counts + 64 * vcpu})
        .value_or(0);
  }

  [[nodiscard]] std::string hot_line() const {
    return guest_->qemu().wait_for_line("^hot ", kPatience).value_or("");
  }

  std::unique_ptr<TinyGuest> guest_;
  std::optional<Vm> vm_;
};

}  // namespace microvmi::test
