// SPDX-License-Identifier: Apache-2.0
// /proc/PID/maps, as the kernel writes it and as a hostile process makes it look.
#include "host/linux/maps.hpp"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace microvmi::host {
namespace {

TEST(MapsTest, TakesALineApart) {
  const auto maps = parse_maps(
      "7f0000000000-7f0040000000 rw-s 00001000 fd:1f 123456                     "
      "/dev/shm/a b (deleted)\n");
  ASSERT_EQ(maps.size(), 1U);
  EXPECT_EQ(maps[0], (Mapping{.start = 0x7f0000000000,
                              .end = 0x7f0040000000,
                              .offset = 0x1000,
                              .read = true,
                              .write = true,
                              .execute = false,
                              .shared = true,
                              .dev_major = 0xfd,
                              .dev_minor = 0x1f,
                              .inode = 123456,
                              .path = "/dev/shm/a b (deleted)"}));
  EXPECT_EQ(maps[0].size(), 0x40000000U);
}

TEST(MapsTest, AnonymousMemoryHasNoPath) {
  const auto maps = parse_maps("1000-2000 ---p 00000000 00:00 0 \n2000-3000 r-xp 0 00:00 0 [heap]");
  ASSERT_EQ(maps.size(), 2U);
  EXPECT_EQ(maps[0].path, "");
  EXPECT_FALSE(maps[0].read || maps[0].write || maps[0].execute || maps[0].shared);
  EXPECT_EQ(maps[1].path, "[heap]");
  EXPECT_TRUE(maps[1].execute);
}

TEST(MapsTest, ANewlineInANameIsANewline) {
  const auto maps = parse_maps("1000-2000 rw-s 0 00:01 5 /tmp/a\\012b\\x\n");
  ASSERT_EQ(maps.size(), 1U);
  EXPECT_EQ(maps[0].path, "/tmp/a\nb\\x");
}

TEST(MapsTest, WhatIsNoMappingIsLeftOut) {
  constexpr std::array kBad{"",
                            "x",
                            "1000",
                            "1000-2000",
                            "1000-2000 rw-s",
                            "1000-2000 rw-q 0 00:01 5 ",
                            "2000-1000 rw-s 0 00:01 5 ",
                            "1000-1000 rw-s 0 00:01 5 ",
                            "-1000-2000 rw-s 0 00:01 5 ",
                            "1000-2000 rws 0 00:01 5 ",
                            "1000-2000 rw-s 0 0001 5 ",
                            "1000-2000 rw-s 0 00:01 z ",
                            "10000000000000000-20000000000000000 rw-s 0 00:01 5 ",
                            " 1000-2000 rw-s 0 00:01 5 ",
                            "0x1000-0x2000 rw-s 0 00:01 5 "};
  for (const char* text : kBad) EXPECT_TRUE(parse_maps(text).empty()) << text;
}

TEST(MapsTest, WhatOverlapsTheLineBeforeIsLeftOut) {
  const auto maps = parse_maps(
      "5000-7000 rw-p 0 00:00 0 \n"
      "6000-9000 rw-p 0 00:00 0 \n"
      "1000-2000 rw-p 0 00:00 0 \n"
      "9000-a000 rw-p 0 00:00 0 \n");
  ASSERT_EQ(maps.size(), 2U);
  EXPECT_EQ(maps[1].start, 0x9000U);
}

TEST(MapsTest, FindsOwnMemoryWithAnAwkwardName) {
  const int fd = ::memfd_create("odd name\nline", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, 8192), 0);
  void* base = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(base, MAP_FAILED);
  const auto maps = read_maps(static_cast<std::uint32_t>(::getpid()));
  ::munmap(base, 8192);
  ::close(fd);
  ASSERT_TRUE(maps);
  const auto start = reinterpret_cast<std::uint64_t>(base);
  const auto mine = std::ranges::find(*maps, start, &Mapping::start);
  ASSERT_NE(mine, maps->end());
  EXPECT_EQ(mine->size(), 8192U);
  EXPECT_EQ(mine->path, "/memfd:odd name\nline (deleted)");
  EXPECT_TRUE(mine->shared && mine->read && mine->write && !mine->execute);
}

TEST(MapsTest, AProcessThatIsNoneIsNotFound) {
  const auto maps = read_maps(0x7FFFFFFF);
  ASSERT_FALSE(maps);
  EXPECT_EQ(maps.error().code, Errc::not_found);
}

}  // namespace
}  // namespace microvmi::host
