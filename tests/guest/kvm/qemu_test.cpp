// SPDX-License-Identifier: Apache-2.0
// QEMU's guests under KVM: memory against what the guest says and what QEMU says.
#include <thread>

#include "guest/kvm/opening.hpp"
#include "support/tiny_guest.hpp"

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;

class KvmQemuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string none = why_no_slots(); !none.empty()) GTEST_SKIP() << none;
    MICROVMI_NEEDS_TINY_GUEST();
    auto guest = TinyGuest::boot({.accelerator = "kvm", .memory = "16M", .name = "tiny"},
                                 {.stride = 65536, .patience = 60s});
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
  }

  [[nodiscard]] std::expected<Vm, InitError> open() const {
    const auto pid = Pid::of(static_cast<std::uint32_t>(guest_->qemu().pid()));
    return init(DriverType::memflow,
                {.memflow = MemflowInitParams{
                     .args = KvmConnectorParams{.pid = *pid, .intrusive = Intrusive::none}}});
  }

  void expect_memory(Vm& vm) const {
    for (const auto& range : guest_->truth().stamped) {
      std::vector<std::byte> ours(4096);
      const std::uint64_t gpa = range.gpa + range.size - 4096;
      ASSERT_TRUE(vm.memory().read(Gpa{gpa}, ours)) << std::hex << gpa;
      const auto theirs = guest_->qemu().memory(gpa, ours.size());
      ASSERT_TRUE(theirs) << theirs.error();
      EXPECT_TRUE(ours == *theirs) << std::hex << gpa;
    }
    const Gpa counter{guest_->truth().counter};
    const auto before = vm.memory().read_value<std::uint64_t>(counter);
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    ASSERT_TRUE(before);
    while (vm.memory().read_value<std::uint64_t>(counter).value_or(*before) == *before)
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the guest stands still";
  }

  std::unique_ptr<TinyGuest> guest_;
};

// One guest for both: some hosts emulate each of its instructions, so that it boots for long.
TEST_F(KvmQemuTest, TheSlotsAreQemusRamAndWithoutBpfQemuIsAsked) {
  auto vm = open();
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(fact(*vm, "layout_source"), "kvm_slots");
  EXPECT_EQ(vm->info().vm_name, "tiny");
  const auto map = vm->memory().map();
  for (const MemoryRegion& region : guest_->qemu().ram()) {
    const MemoryRegion* ours = map->find(region.gpa);
    ASSERT_TRUE(ours) << std::hex << to_integer(region.gpa);
    EXPECT_TRUE(region.kind == MemoryRegion::Kind::rom || ours->kind == region.kind);
  }
  EXPECT_EQ(map->find(Gpa{0x2000000}), nullptr) << "behind 16 MiB there is nothing";
  expect_memory(*vm);
  std::thread([this] {
    ASSERT_NO_FATAL_FAILURE(drop_bpf());
    auto asked = open();
    ASSERT_TRUE(asked) << asked.error().message;
    EXPECT_EQ(fact(*asked, "layout_source"), "qemu");
    EXPECT_THAT(fact(*asked, "note").value_or(""), testing::HasSubstr("memory slots: "));
    expect_memory(*asked);
  }).join();
}

}  // namespace
}  // namespace microvmi::test
