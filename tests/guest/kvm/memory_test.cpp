// SPDX-License-Identifier: Apache-2.0
// Memory of a VM that is no QEMU's, against what its VMM has.
#include "guest/kvm/opening.hpp"
#include "host/bpf/memslots.hpp"

namespace microvmi::test {
namespace {

using Kind = MemoryRegion::Kind;
constexpr Gpa kRam{0x1000000};
constexpr Gpa kRom{0xFFFE0000};

class KvmMemoryTest : public SlotsTest {};

TEST_F(KvmMemoryTest, TheMapIsThatOfTheVmm) {
  expect_map();
  EXPECT_TRUE(vm_->memory().map()->exact);
  EXPECT_EQ(vm_->info().connector, "kvm");
  EXPECT_EQ(vm_->info().pid, guest_->pid());
  EXPECT_EQ(vm_->info().vcpus, 2U);
  EXPECT_EQ(fact(*vm_, "layout_source"), "kvm_slots");
  EXPECT_EQ(fact(*vm_, "program"), "kvm_vmm");
}

TEST_F(KvmMemoryTest, TheBytesAreWhatTheVmmReads) {
  const std::uint64_t still = guest_->truth()["still"];
  for (const MemoryRegion& region : vm_->memory().map()->regions) {
    const std::uint64_t skip = region.gpa == Gpa{0} ? still : 0;
    expect_bytes(to_integer(region.gpa) + skip, 0x8000);
    expect_bytes(to_integer(region.end()) - 0x8000, 0x8000);
  }
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmMemoryTest, TheGuestsOwnStoresAreSeen) {
  const Gpa counter{guest_->truth()["counters"].get<std::uint64_t>()};
  const auto before = vm_->memory().read_value<std::uint64_t>(counter);
  ASSERT_TRUE(before);
  ASSERT_TRUE(guest_->undisturbed());
  EXPECT_GT(vm_->memory().read_value<std::uint64_t>(counter).value_or(0), *before);
}

TEST_F(KvmMemoryTest, WritesReachTheVmmAndStopAtRom) {
  ASSERT_TRUE(vm_->memory().writable());
  ASSERT_TRUE(vm_->memory().write_value(kRam, std::uint64_t{0x1122334455667788}));
  const auto theirs = guest_->memory(to_integer(kRam), 8);
  ASSERT_TRUE(theirs) << theirs.error();
  EXPECT_EQ(theirs->front(), std::byte{0x88});
  const MemoryRegion* rom = vm_->memory().map()->find(kRom);
  if (!rom) GTEST_SKIP() << "KVM of this host has no read-only slots";
  EXPECT_EQ(rom->kind, Kind::rom);
  const auto refused = vm_->memory().write_value(kRom, std::uint64_t{1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::read_only);
  expect_bytes(to_integer(kRom), 4096);
}

TEST_F(KvmMemoryTest, SharedFilesAreReadInPlace) {
  ASSERT_NO_FATAL_FAILURE(start({"backing=memfd"}));
  ASSERT_TRUE(vm_->memory().viewable());
  EXPECT_EQ(fact(*vm_, "memory_mode"), "view");
  const View view = vm_->memory().view(kRam, 4096);
  ASSERT_TRUE(view);
  const auto theirs = guest_->memory(to_integer(kRam), 4096);
  ASSERT_TRUE(theirs) << theirs.error();
  EXPECT_TRUE(std::ranges::equal(view.bytes(), *theirs));
}

TEST_F(KvmMemoryTest, TheSecondAddressSpaceIsNoPartOfTheMap) {
  ASSERT_NO_FATAL_FAILURE(start({"smm=1"}));
  expect_map();
  if (guest_->truth()["spaces"] < 2) GTEST_SKIP() << "KVM of this host has one address space only";
  EXPECT_THAT(fact(*vm_, "note").value_or(""), testing::HasSubstr("0xa0000-0xbffff"));
  expect_bytes(0xA0000, 0x20000);
}

// Adding slots takes KVM long, so passes are made short instead.
TEST_F(KvmMemoryTest, SlotsThatOnePassDoesNotHold) {
  const auto whole = host::MemslotReader::open(guest_->pid());
  ASSERT_TRUE(whole) << to_text(whole.error());
  const auto all = (*whole)->read();
  ASSERT_TRUE(all) << to_text(all.error());
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ(all->front().slots.size(), guest_->truth()["slots"].size());
  EXPECT_EQ(all->front().fd, guest_->truth()["vm_fd"]);
  for (const std::uint32_t each : {1U, 2U, 4U, 5U, 6U}) {
    const auto reader = host::MemslotReader::open(guest_->pid(), each);
    ASSERT_TRUE(reader) << to_text(reader.error());
    const auto some = (*reader)->read();
    ASSERT_TRUE(some) << each << ": " << to_text(some.error());
    ASSERT_EQ(some->size(), 1U);
    EXPECT_EQ(some->front().slots, all->front().slots) << each;
  }
}

}  // namespace
}  // namespace microvmi::test
