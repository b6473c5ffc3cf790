// SPDX-License-Identifier: Apache-2.0
// Registers for a dump of a guest that could have more vCPUs than are there.
#include "dump/guest_state.hpp"

#include <gtest/gtest.h>

#include "support/fake_guest.hpp"

namespace microvmi::dumper {
namespace {

class OneOfTwo final : public Driver, private RegisterAccess {
 public:
  explicit OneOfTwo(Errc missing) : missing_(missing) {}
  PhysicalMemory& memory() override { return memory_.memory(); }
  RegisterAccess* registers() override { return this; }
  GuestInfo info() const override { return {.vcpus = 2}; }

 private:
  Expected<Registers> read(VcpuId vcpu) override {
    if (to_integer(vcpu) != 0) return fail(missing_, "vcpu 1 is offline", vcpu);
    Registers out;
    out.set(Reg::rax, 7);
    return out;
  }
  Expected<void> write(VcpuId, const Registers&) override { return {}; }

  Errc missing_;
  test::MemoryOnly memory_{};
};

TEST(GuestState, AVcpuThatIsOfflineDoesNotTakeTheOthersAway) {
  Vm vm(DriverType::xen, std::make_unique<OneOfTwo>(Errc::not_found));
  const StateRead read = read_state(vm);
  EXPECT_FALSE(read.no_registers);
  ASSERT_EQ(read.state.vcpus.size(), 1U);
  EXPECT_EQ(read.state.vcpus[0][Reg::rax], 7U);
}

TEST(GuestState, OneThatCannotBeReadDoes) {
  Vm vm(DriverType::xen, std::make_unique<OneOfTwo>(Errc::io));
  const StateRead read = read_state(vm);
  ASSERT_TRUE(read.no_registers);
  EXPECT_EQ(read.no_registers->code, Errc::io);
  EXPECT_TRUE(read.state.vcpus.empty());
}

}  // namespace
}  // namespace microvmi::dumper
