// SPDX-License-Identifier: Apache-2.0
// What becomes of memory slots: a layout, or a refusal that says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connector/kvm/layout.hpp"

namespace microvmi::kvm_connector {
namespace {

using host::Memslot;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = MemoryRegion::Kind;

constexpr std::uint64_t kHva = 0x7F00'0000'0000;

host::SlottedVm vm_with(std::vector<Memslot> slots) {
  return {.fd = 3, .identity = 1, .own_memory = true, .spaces = 2, .slots = std::move(slots)};
}

std::string refusal(const host::SlottedVm& vm) {
  const auto view = view_of(vm, {});
  EXPECT_FALSE(view);
  return view ? "" : to_text(view.error());
}

TEST(KvmSlotsTest, SortedWithReadOnlyOnesAsRom) {
  const auto view = view_of(
      vm_with(
          {{.gpa = 0x1'0000'0000, .size = 0x2000, .hva = kHva, .id = 1},
           {.gpa = 0xF0000, .size = 0x10000, .hva = kHva, .flags = host::kSlotReadOnly, .id = 2},
           {.gpa = 0, .size = 0xA0000, .hva = kHva, .id = 0}}),
      {});
  ASSERT_TRUE(view) << to_text(view.error());
  EXPECT_THAT(view->layout.segments,
              ElementsAre(host::Segment{.gpa = Gpa{0}, .size = 0xA0000, .hva = kHva},
                          host::Segment{
                              .gpa = Gpa{0xF0000}, .size = 0x10000, .hva = kHva, .kind = Kind::rom},
                          host::Segment{.gpa = Gpa{0x1'0000'0000}, .size = 0x2000, .hva = kHva}));
  EXPECT_TRUE(view->layout.exact);
  EXPECT_TRUE(view->notes.empty());
}

TEST(KvmSlotsTest, ASlotThatIsBeingDeletedIsNone) {
  const auto view =
      view_of(vm_with({{.gpa = 0, .size = 0x1000, .hva = kHva},
                       {.gpa = 0x1000, .size = 0x1000, .hva = kHva, .flags = host::kSlotInvalid}}),
              {});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->layout.segments.size(), 1U);
  EXPECT_THAT(refusal(vm_with({})), HasSubstr("no memory slots"));
}

TEST(KvmSlotsTest, TheSecondAddressSpaceIsNotedWhereItDiffers) {
  const auto view =
      view_of(vm_with({{.gpa = 0, .size = 0x100000, .hva = kHva},
                       {.gpa = 0, .size = 0xA0000, .hva = kHva, .space = 1},
                       {.gpa = 0xC0000, .size = 0x40000, .hva = kHva + 0xC0000, .space = 1},
                       {.gpa = 0xA0000, .size = 0x20000, .hva = kHva + 0x900000, .space = 1}}),
              {});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->layout.segments.size(), 1U);
  EXPECT_THAT(view->notes, ElementsAre(HasSubstr("0xa0000-0xbffff")));
}

TEST(KvmSlotsTest, MemoryOfDevicesIsLeftOut) {
  const std::vector<host::Mapping> maps{
      {.start = kHva, .end = kHva + 0x1000, .path = "/dev/shm/ram"},
      {.start = kHva + 0x1000, .end = kHva + 0x2000, .path = "/dev/vfio/12"},
      {.start = kHva + 0x2000, .end = kHva + 0x3000, .path = "anon_inode:[vfio-device]"},
      {.start = kHva + 0x3000, .end = kHva + 0x4000, .path = "/dev/hugepages/ram (deleted)"}};
  std::vector<Memslot> slots;
  for (std::uint64_t i = 0; i < 4; ++i)
    slots.push_back({.gpa = i << 20U, .size = 0x1000, .hva = kHva + i * 0x1000});
  const auto view = view_of(vm_with(slots), maps);
  ASSERT_TRUE(view);
  ASSERT_EQ(view->layout.segments.size(), 2U);
  EXPECT_EQ(view->layout.segments[1].gpa, Gpa{0x300000});
  EXPECT_THAT(view->notes, ElementsAre(HasSubstr("/dev/vfio/12"), HasSubstr("vfio-device")));
}

TEST(KvmSlotsTest, PrivateMemoryIsRefusedByName) {
  EXPECT_THAT(
      refusal(vm_with(
          {{.gpa = 0, .size = 0x1000, .hva = kHva, .id = 1},
           {.gpa = 0x4000, .size = 0x1000, .hva = kHva, .flags = host::kSlotGuestMemfd, .id = 2}})),
      HasSubstr("slot 2 at 0x4000-0x4fff is of a guest_memfd"));
  auto typed = vm_with({{.gpa = 0, .size = 0x1000, .hva = kHva}});
  typed.type = 4;
  EXPECT_THAT(refusal(typed), HasSubstr("SEV-SNP"));
  typed.type = 5;
  EXPECT_THAT(refusal(typed), HasSubstr("TDX"));
  typed.type = 77;
  EXPECT_THAT(refusal(typed), HasSubstr("type 77"));
}

}  // namespace
}  // namespace microvmi::kvm_connector
