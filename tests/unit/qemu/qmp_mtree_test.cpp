// SPDX-License-Identifier: Apache-2.0
// `info mtree -f` as QEMU 7.2.22 printed it, and what it never prints.
#include "qemu/mtree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

namespace microvmi::qemu {
namespace {

using Kind = FlatRange::Kind;

// qemu-system-x86_64 -S -nodefaults -display none -M pc,accel=tcg -m 1G,slots=2,maxmem=4G
//   -object memory-backend-ram,id=d0,size=1G -device pc-dimm,memdev=d0
// with most of the I/O left out.
constexpr const char* kDimm =
    "FlatView #0\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n"
    "  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\r\n"
    "  0000000000000010-000000000000001f (prio 0, i/o): io @0000000000000010\r\n\r\n"
    "FlatView #1\r\n AS \"i440FX\", root: bus master container\r\n"
    " Root memory region: (none)\r\n  No rendered FlatView\r\n\r\n"
    "FlatView #2\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\", root: system\r\n"
    " Root memory region: system\r\n"
    "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram\r\n"
    "  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom\r\n"
    "  00000000000e0000-00000000000fffff (prio 0, rom): pc.bios @0000000000020000\r\n"
    "  0000000000100000-000000003fffffff (prio 0, ram): pc.ram @0000000000100000\r\n"
    "  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi\r\n"
    "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\r\n"
    "  0000000100000000-000000013fffffff (prio 0, ram): d0\r\n\r\n"
    "FlatView #3\r\n AS \"cpu-smm-0\", root: memory\r\n Root memory region: memory\r\n"
    "  0000000000000000-0000000000000fff (prio 0, ram): smram\r\n\r\n";

// One view with these lines in the place of its ranges.
std::string memory_view(const std::string& lines) {
  return "FlatView #0\n AS \"memory\", root: system\n Root memory region: system\n" + lines;
}

TEST(MtreeTest, OnlyTheAddressSpaceMemoryCounts) {
  const auto ranges = parse_mtree(kDimm);
  ASSERT_TRUE(ranges) << to_text(ranges.error());
  ASSERT_EQ(ranges->size(), 7U);
  EXPECT_EQ(ranges->front(),
            (FlatRange{.gpa = Gpa{0}, .size = 0xC0000, .kind = Kind::ram, .region = "pc.ram"}));
  EXPECT_EQ((*ranges)[2], (FlatRange{.gpa = Gpa{0xE0000},
                                     .size = 0x20000,
                                     .kind = Kind::rom,
                                     .region = "pc.bios",
                                     .offset = 0x20000}));
  EXPECT_EQ((*ranges)[4].kind, Kind::io);
  EXPECT_EQ(ranges->back().gpa, Gpa{0x100000000});
}

TEST(MtreeTest, GuestMemoryIsWhatTheBackendsNameAndNothingOfADevice) {
  const auto ranges = parse_mtree(kDimm);
  ASSERT_TRUE(ranges);
  const std::array<std::string, 2> backends{"pc.ram", "d0"};
  const auto ram = guest_ranges(*ranges, backends);
  ASSERT_EQ(ram.size(), 3U);
  EXPECT_EQ(ram[1].offset, 0x100000U);
  EXPECT_EQ(ram[2].region, "d0");
  // isapc has its firmware as ram, and a video adapter its memory
  const auto isapc = parse_mtree(
      memory_view("  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\n"
                  "  00000000000a0000-00000000000affff (prio 1, ram): vga.vram @0000000000030000\n"
                  "  00000000000c0000-00000000000dffff (prio 1, ram): pc.rom\n"));
  ASSERT_TRUE(isapc) << to_text(isapc.error());
  EXPECT_EQ(guest_ranges(*isapc, backends).size(), 1U);
}

TEST(MtreeTest, NeighboursThatContinueOneBlockAreOneRange) {
  // The shadow of 0xC0000 to 0xFFFFF in pieces, as SeaBIOS leaves it.
  const auto ranges = parse_mtree(
      memory_view("  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\n"
                  "  00000000000c0000-00000000000c3fff (prio 0, rom): pc.ram @00000000000c0000\n"
                  "  00000000000c4000-00000000000c7fff (prio 0, rom): pc.ram @00000000000c4000\n"
                  "  00000000000c8000-00000000000cbfff (prio 0, ram): pc.ram @00000000000c8000\n"
                  "  00000000000cc000-00000000000fffff (prio 0, ram): pc.ram @00000000000cc000\n"
                  "  0000000000100000-000000001fffffff (prio 0, ram): pc.ram @0000000000100000\n"));
  ASSERT_TRUE(ranges) << to_text(ranges.error());
  ASSERT_EQ(ranges->size(), 3U);
  EXPECT_EQ((*ranges)[1].size, 0x8000U);
  EXPECT_EQ((*ranges)[1].kind, Kind::rom);
  EXPECT_EQ((*ranges)[2].gpa, Gpa{0xC8000});
  EXPECT_EQ((*ranges)[2].end(), Gpa{0x20000000});
}

TEST(MtreeTest, NeighboursWithAJumpInTheBlockStayApart) {
  const auto ranges = parse_mtree(
      memory_view("  0000000000000000-0000000000000fff (prio 0, ram): a\n"
                  "  0000000000001000-0000000000001fff (prio 0, ram): a @0000000000002000\n"
                  "  0000000000002000-0000000000002fff (prio 0, ram): b @0000000000003000\n"));
  ASSERT_TRUE(ranges);
  EXPECT_EQ(ranges->size(), 3U);
}

TEST(MtreeTest, MarksAfterTheNameAreNotPartOfIt) {
  const auto ranges = parse_mtree(memory_view(
      "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM\n"
      "  00000000000e0000-00000000000fffff (prio 0, rom): pc.bios @0000000000020000 KVM KVM\n"
      "  0000000000200000-00000000002fffff (prio -1, nv-ram): my backend\n"
      "  0000000000300000-00000000003fffff (prio 0, romd): virt.flash0\n"
      "  0000000000400000-00000000004fffff (prio 0, ramd): 0000:01:00.0 BAR 1 mmaps[0]\n"));
  ASSERT_TRUE(ranges) << to_text(ranges.error());
  ASSERT_EQ(ranges->size(), 5U);
  EXPECT_EQ((*ranges)[0].region, "pc.ram");
  EXPECT_EQ((*ranges)[1].region, "pc.bios");
  EXPECT_EQ((*ranges)[1].offset, 0x20000U);
  EXPECT_TRUE((*ranges)[2].nonvolatile);
  EXPECT_EQ((*ranges)[2].region, "my backend");
  EXPECT_EQ((*ranges)[3].kind, Kind::romd);
  EXPECT_EQ((*ranges)[4].kind, Kind::ram_device);
}

TEST(MtreeTest, ABackendIsFoundUnderBothOfItsNames) {
  EXPECT_TRUE(is_region_of("mem0", "mem0"));
  EXPECT_TRUE(is_region_of("/objects/mem0", "mem0"));
  EXPECT_FALSE(is_region_of("/objects/mem0", "mem"));
  EXPECT_FALSE(is_region_of("/objects/", ""));
  EXPECT_FALSE(is_region_of("", ""));
}

TEST(MtreeTest, AMapThatReachesTheLastAddress) {
  const auto ranges =
      parse_mtree(memory_view("  ffffffffffff0000-ffffffffffffffff (prio 0, ram): top\n"));
  ASSERT_TRUE(ranges) << to_text(ranges.error());
  EXPECT_EQ(ranges->front().size, 0x10000U);
  EXPECT_EQ(ranges->front().end(), Gpa{0});
}

class MtreeNonsense : public testing::TestWithParam<const char*> {};

TEST_P(MtreeNonsense, IsRefusedWithItsLine) {
  const auto ranges = parse_mtree(memory_view(GetParam()));
  ASSERT_FALSE(ranges);
  EXPECT_EQ(ranges.error().code, Errc::protocol);
  EXPECT_NE(ranges.error().message.find("line "), std::string::npos) << ranges.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Lines, MtreeNonsense,
    testing::Values("garbage\n", "  0-1 (prio 0, ram): short\n",
                    "  0000000000000000-00000000000bffff (prio 0, ram): \n",
                    "  0000000000000000-00000000000bffff (prio 0, rum): x\n",
                    "  0000000000000000-00000000000bffff (prio x, ram): x\n",
                    "  0000000000000000-00000000000bffff (prio 0, ram) x\n",
                    "  0000000000002000-0000000000001fff (prio 0, ram): backwards\n",
                    "  0000000000000000-ffffffffffffffff (prio 0, ram): everything\n",
                    "  0000000000000000-0000000000001fff (prio 0, ram): wraps @fffffffffffff000\n",
                    "  0000000000001000-0000000000001fff (prio 0, ram): a\n"
                    "  0000000000001800-0000000000002fff (prio 0, ram): overlaps\n",
                    "  0000000000001000-0000000000001fff (prio 0, ram): a\n"
                    "  0000000000000000-0000000000000fff (prio 0, ram): unsorted\n",
                    "  fffffffffffff000-ffffffffffffffff (prio 0, ram): a\n"
                    "  0000000000000000-0000000000000fff (prio 0, ram): after the end\n",
                    " AS \"late\", root: system\n", " Root memory region: twice\n", "FlatView #x\n",
                    "FlatView #1\n AS \"memory\", root: system\n",
                    "FlatView #1\n  0000000000000000-0000000000000fff (prio 0, ram): no root\n"));

TEST(MtreeTest, ATextWithoutTheAddressSpaceIsNoAnswer) {
  for (const char* text : {"", "\n", "FlatView #0\n AS \"I/O\", root: io\n"})
    EXPECT_FALSE(parse_mtree(text)) << text;
  const auto unknown = parse_mtree("mtree: unsupported option -f\r\n");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("unsupported option"), std::string::npos);
}

}  // namespace
}  // namespace microvmi::qemu
