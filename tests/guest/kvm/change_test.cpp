// SPDX-License-Identifier: Apache-2.0
// Slots that come, move and go while the guest is read.
#include <chrono>
#include <thread>

#include "guest/kvm/opening.hpp"
#include "support/kvm_vmm/machine.hpp"

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;
using kvm_vmm::stamp;

constexpr std::uint64_t kNew = 0x4000000;
constexpr std::uint64_t kChurned = 0x2000000;

class KvmChangeTest : public SlotsTest {
 protected:
  [[nodiscard]] Errc status_at(std::uint64_t gpa) const {
    const auto word = vm_->memory().read_value<std::uint64_t>(Gpa{gpa});
    return word ? Errc::none : word.error().code;
  }

  // Without refresh(): by the interval at which the layout is looked at.
  [[nodiscard]] bool becomes(std::uint64_t gpa, Errc status) const {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (status_at(gpa) != status) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }
};

TEST_F(KvmChangeTest, RefreshSeesNewMovedAndDeletedSlots) {
  const std::uint64_t before = vm_->memory().map()->generation;
  EXPECT_EQ(status_at(kNew), Errc::hole);
  tell("add 7 0x4000000 0x10000 0");
  ASSERT_TRUE(vm_->memory().refresh());
  expect_map();
  expect_bytes(kNew, 0x10000);
  EXPECT_GT(vm_->memory().map()->generation, before);

  tell("move 7 0x5000000");
  ASSERT_TRUE(vm_->memory().refresh());
  expect_map();
  EXPECT_EQ(status_at(kNew), Errc::hole);
  expect_bytes(0x5000000, 0x10000);

  tell("delete 7");
  ASSERT_TRUE(vm_->memory().refresh());
  expect_map();
  EXPECT_EQ(status_at(0x5000000), Errc::hole);
  const std::uint64_t now = vm_->memory().map()->generation;
  ASSERT_TRUE(vm_->memory().refresh());
  EXPECT_EQ(vm_->memory().map()->generation, now) << "nothing had changed";
}

TEST_F(KvmChangeTest, RefreshSeesThatASlotBecameReadOnly) {
  constexpr Gpa kRom{0xFFFE0000};
  if (!vm_->memory().map()->find(kRom)) GTEST_SKIP() << "KVM of this host has no read-only slots";
  tell("add 7 0x4000000 0x10000 0");
  ASSERT_TRUE(vm_->memory().refresh());
  EXPECT_TRUE(vm_->memory().write_value(Gpa{kNew}, std::uint64_t{7}));
  tell("delete 7");
  tell("add 7 0x4000000 0x10000 2");  // KVM_MEM_READONLY
  ASSERT_TRUE(vm_->memory().refresh());
  expect_map();
  expect_bytes(kNew, 0x10000);
  const auto refused = vm_->memory().write_value(Gpa{kNew}, std::uint64_t{8});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::read_only);
}

TEST_F(KvmChangeTest, UnmappedMemoryIsNoticedByTheReadThatFails) {
  expect_bytes(kChurned, 0x1000);
  tell("delete 9");
  EXPECT_EQ(status_at(kChurned), Errc::hole);
  EXPECT_FALSE(vm_->memory().map()->find(Gpa{kChurned})) << "the map was not derived again";
  expect_map();
}

TEST_F(KvmChangeTest, ADeletedSlotWhoseMemoryStaysIsNoticedSoon) {
  tell("forget 9");
  EXPECT_TRUE(becomes(kChurned, Errc::hole));
  tell("add 9 0x2000000 0x40000 0");
  EXPECT_TRUE(becomes(kChurned, Errc::none));
  expect_bytes(kChurned, 0x40000);
}

TEST_F(KvmChangeTest, AMoveThatLeavesTheMemoryWhereItIsIsNoticedSoon) {
  tell("move 9 0x6000000");
  EXPECT_TRUE(becomes(0x6000000, Errc::none));
  EXPECT_EQ(status_at(kChurned), Errc::hole);
  expect_map();
}

// While the slot is mapped anew, its memory may be gone or not yet be stamped; it is never that of
// another address, and other slots stay what they are.
TEST_F(KvmChangeTest, RemapsUnderLoadGiveNoWrongBytes) {
  tell("churn on");
  const auto end = std::chrono::steady_clock::now() + 2s;
  std::vector<std::uint64_t> page(512);
  const auto bytes = std::as_writable_bytes(std::span(page));
  int whole = 0;
  for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
    if (i % 16 == 0) {
      const auto done = vm_->memory().refresh();
      ASSERT_TRUE(done || done.error().code == Errc::busy) << to_text(done.error());
    }
    const std::uint64_t gpa = kChurned + (i % 64) * 4096U;
    if (vm_->memory().read(Gpa{gpa}, bytes)) {
      ++whole;
      for (std::size_t j = 0; j < page.size(); ++j)
        ASSERT_TRUE(page[j] == 0 || page[j] - stamp(gpa + 8 * j, 0) < 1'000'000) << j;
    }
    ASSERT_TRUE(vm_->memory().read(Gpa{0x1000000}, bytes));
    for (std::size_t j = 0; j < page.size(); ++j) ASSERT_EQ(page[j], stamp(0x1000000 + 8 * j, 1));
  }
  const auto churned = guest_->ask("churn off");
  ASSERT_TRUE(churned) << churned.error();
  EXPECT_GT((*churned)["rounds"], 0);
  EXPECT_GT(whole, 0);
  EXPECT_TRUE(becomes(kChurned, Errc::none));
  ASSERT_TRUE(vm_->memory().refresh());
  expect_map();
  expect_bytes(kChurned, 0x40000);
  EXPECT_TRUE(guest_->undisturbed());
}

}  // namespace
}  // namespace microvmi::test
