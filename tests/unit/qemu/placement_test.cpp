// SPDX-License-Identifier: Apache-2.0
// Which mappings are guest RAM: texts in the form that QEMU 7.2 processes show.
#include "qemu/placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace microvmi::qemu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = RamBackend::Kind;

std::vector<host::Mapping> maps(const char* text) { return host::parse_maps(text); }

// -m 512M under TCG: the buffer for generated code is the biggest mapping.
constexpr const char* kTcg =
    "55d000000000-55d000400000 rw-p 00000000 00:00 0          [heap]\n"
    "7f0000000000-7f003ff00000 rwxp 00000000 00:00 0 \n"
    "7f0040000000-7f0060000000 rw-p 00000000 00:00 0 \n"
    "7f0060000000-7f0060001000 ---p 00000000 00:00 0 \n"
    "7f0061000000-7f0062000000 rw-p 00000000 00:00 0 \n";

RamBlock block(std::string id, std::uint64_t size, Kind kind = Kind::ram, bool shared = false,
               std::string path = "") {
  return {std::move(id), size, kind, shared, std::move(path)};
}

std::string why(std::span<const RamBlock> blocks, const char* text) {
  const auto found = find_blocks(blocks, maps(text));
  return found ? "none" : found.error().message;
}

TEST(PlacementTest, TheBiggestMappingIsNotGuestRam) {
  const std::vector blocks{block("pc.ram", 512 * kMiB)};
  EXPECT_THAT(*find_blocks(blocks, maps(kTcg)), ElementsAre(0x7f0040000000U));
}

TEST(PlacementTest, CodeIsNeverGuestRamEvenInItsSize) {
  const std::vector blocks{block("pc.ram", 1023 * kMiB)};
  EXPECT_THAT(why(blocks, kTcg), HasSubstr("no mapping"));
}

TEST(PlacementTest, CompetingMappingsAreListed) {
  const std::vector blocks{block("a", kGiB), block("b", kGiB)};
  const char* const text =
      "7f0000000000-7f0040000000 rw-p 00000000 00:00 0 \n"
      "7f0050000000-7f0090000000 rw-p 00000000 00:00 0 \n";
  EXPECT_THAT(why(blocks, text), HasSubstr("2 mappings could each be its memory \"a\""));
  EXPECT_THAT(why(blocks, text), HasSubstr("0x7f0050000000-0x7f0090000000"));
}

TEST(PlacementTest, AFileTellsItsBlock) {
  const char* const text =
      "7f0000000000-7f0040000000 rw-s 00000000 00:1b 7  /dev/shm/qemu_back_mem.n1.Xy12Z (deleted)\n"
      "7f0050000000-7f0090000000 rw-s 00000000 00:1b 8  /dev/shm/qemu_back_mem.n0.aB34c (deleted)\n"
      "7f00a0000000-7f00e0000000 rw-s 00000000 00:1b 9  /srv/guest ram.img\n"
      "7f00f0000000-7f0130000000 rw-p 00000000 00:1b 10 /dev/shm/qemu_back_mem._objects_old.q\n";
  const std::vector blocks{
      block("n0", kGiB, Kind::file, true, "/dev/shm"),
      block("n1", kGiB, Kind::file, true, "/dev/shm"),
      block("f", kGiB, Kind::file, true, "guest ram.img"),
      block("old", kGiB, Kind::file, false, "/dev/shm"),
  };
  EXPECT_THAT(*find_blocks(blocks, maps(text)),
              ElementsAre(0x7f0050000000U, 0x7f0000000000U, 0x7f00a0000000U, 0x7f00f0000000U));
}

TEST(PlacementTest, SharedAndPrivateAreKeptApart) {
  const char* const text =
      "7f0000000000-7f0040000000 rw-s 00000000 00:01 7  /memfd:memory-backend-memfd (deleted)\n"
      "7f0050000000-7f0090000000 rw-p 00000000 00:00 0 \n";
  const std::vector memfd{block("m", kGiB, Kind::memfd, true)};
  EXPECT_THAT(*find_blocks(memfd, maps(text)), ElementsAre(0x7f0000000000U));
  const std::vector both{block("r", kGiB), block("m", kGiB, Kind::memfd, true)};
  EXPECT_THAT(*find_blocks(both, maps(text)), ElementsAre(0x7f0050000000U, 0x7f0000000000U));
}

TEST(PlacementTest, TheCodeBufferOfSplitWxIsNoMemfdBackend) {
  const char* const text =
      "7f0000000000-7f0040000000 rw-s 00000000 00:01 7  /memfd:tcg-jit (deleted)\n";
  const std::vector blocks{block("m", kGiB, Kind::memfd, true)};
  EXPECT_THAT(why(blocks, text), HasSubstr("no mapping"));
}

// "a", "a.a" and so on: the file of one could be that of all before it, so that they are told one
// after the other. The others never are.
TEST(PlacementTest, ThatManyBlocksFitIntoManyMappingsIsFoundOutInTime) {
  constexpr std::uint64_t kSize = 2 * kMiB;
  std::vector<RamBlock> blocks;
  std::vector<host::Mapping> all;
  std::uint64_t at = 0x7f0000000000;
  const auto add = [&](std::uint64_t inode, std::string path) {
    all.push_back({.start = at,
                   .end = at + kSize,
                   .read = true,
                   .write = true,
                   .inode = inode,
                   .path = std::move(path)});
    at += 2 * kSize;
  };
  std::string id;
  for (std::uint64_t i = 1; i <= 64; ++i) {
    id += id.empty() ? "a" : ".a";
    blocks.push_back(block(id, kSize, Kind::file));
    add(i, "/dev/shm/qemu_back_mem." + id + ".XyZ123");
  }
  EXPECT_EQ(find_blocks(blocks, all)->back(), all.back().start);
  for (int i = 0; i < 64; ++i) blocks.push_back(block("r", kSize));
  for (int i = 0; i < 32'000; ++i) add(0, "");
  const auto found = find_blocks(blocks, all);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("32000 mappings could each be its memory \"r\""));
}

TEST(PlacementTest, AMappingInPartsIsOne) {
  const char* const text =
      "7f0000000000-7f0010000000 rw-p 00000000 00:00 0 \n"
      "7f0010000000-7f0040000000 rw-p 00000000 00:00 0 \n"
      "7f0050000000-7f0060000000 rw-p 00000000 00:00 0 \n";
  const std::vector blocks{block("pc.ram", kGiB)};
  EXPECT_THAT(*find_blocks(blocks, maps(text)), ElementsAre(0x7f0000000000U));
}

TEST(PlacementTest, AHugePageFileIsLongerThanItsBlock) {
  const char* const text =
      "7f0000000000-7f0000600000 rw-s 00000000 00:1b 7  /dev/hugepages/qemu_back_mem.h.1 "
      "(deleted)\n";
  const std::vector blocks{block("h", 5 * kMiB, Kind::file, true, "/dev/hugepages")};
  EXPECT_THAT(*find_blocks(blocks, maps(text)), ElementsAre(0x7f0000000000U));
}

TEST(PlacementTest, SegmentsKeepTheirOffsets) {
  GuestLayout layout{.blocks = {block("pc.ram", 5 * kGiB)},
                     .extents = {{0, 3 * kGiB, 0, 0}, {4 * kGiB, 2 * kGiB, 0, 3 * kGiB}},
                     .exact = false};
  const std::vector<std::uint64_t> addresses{0x7f0000000000};
  const host::Layout placed = place(layout, addresses);
  EXPECT_FALSE(placed.exact);
  ASSERT_EQ(placed.segments.size(), 2U);
  EXPECT_EQ(placed.segments[1].hva, 0x7f0000000000 + 3 * kGiB);
  EXPECT_EQ(placed.segments[1].gpa, Gpa{4 * kGiB});
}

}  // namespace
}  // namespace microvmi::qemu
