// SPDX-License-Identifier: Apache-2.0
// Memory of PVH and HVM guests against their own stamps and Xen's own library; of PV against what
// its kernel and its process say.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

class XenMemoryTest : public XenBothTest {};

TEST_P(XenMemoryTest, IsWhatTheGuestStamped) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const std::uint64_t start = domain().said("stamp_start");
  const std::uint64_t size = domain().said("stamp_end") - start;
  std::vector<std::byte> bytes(size);
  const auto done = memory().read(Gpa{start}, bytes);
  ASSERT_TRUE(done) << to_text(done.error());
  EXPECT_TRUE(bytes == domain().stamps(start, size));
}

TEST_P(XenMemoryTest, AnyStartAndLength) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const std::uint64_t start = domain().said("stamp_start");
  for (const std::uint64_t offset : {0ULL, 1ULL, 7ULL, 4095ULL, 0x1fffULL, 0x40ffdULL})
    for (const std::size_t size : {1UL, 3UL, 8UL, 4095UL, 4096UL, 4097UL, 70'001UL, 400'000UL}) {
      std::vector<std::byte> bytes(size);
      const auto done = memory().read(Gpa{start + offset}, bytes);
      ASSERT_TRUE(done) << offset << '+' << size << ": " << to_text(done.error());
      EXPECT_TRUE(bytes == domain().stamps(start + offset, size)) << offset << '+' << size;
    }
}

TEST_P(XenMemoryTest, HolesAreWhereXenHasNone) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  constexpr std::size_t kAtOnce = 64;
  std::vector<std::uint64_t> frames(0x2800);  // 40 MiB: more than the guests have
  std::iota(frames.begin(), frames.end(), 0);
  std::vector<std::array<std::byte, 8>> into(frames.size());
  std::vector<ReadRequest> batch;
  for (const std::uint64_t frame : frames)
    batch.push_back({.gpa = Gpa{frame * kPageSize + 16}, .into = into[frame]});
  memory().read(batch);
  std::size_t holes = 0;
  for (std::size_t i = 0; i < frames.size(); i += kAtOnce) {
    const auto real = domain().bare().holes(std::span(frames).subspan(i, kAtOnce));
    for (std::size_t j = 0; j < kAtOnce; ++j) {
      const ReadRequest& one = batch[i + j];
      holes += real[j] ? 1 : 0;
      ASSERT_EQ(one.status, real[j] ? Errc::hole : Errc::none) << std::hex << i + j;
      ASSERT_EQ(one.done, real[j] ? 0U : 8U) << std::hex << i + j;
    }
  }
  EXPECT_GT(holes, 0x100U);
  EXPECT_LT(holes, 0x2000U);
}

TEST_P(XenMemoryTest, AReadThatRunsIntoAHoleSaysWhere) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  // The first frame from the middle of RAM on that Xen has not.
  std::uint64_t frame = domain().said("stamp_end") / kPageSize;
  while (!domain().bare().holes(std::array{frame})[0] && frame < 0x10000) ++frame;
  const std::uint64_t end = frame * kPageSize;
  std::vector<std::byte> bytes(3 * kPageSize);
  const auto done = memory().read(Gpa{end - kPageSize - 5}, bytes);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::hole);
  EXPECT_EQ(std::get<Gpa>(done.error().where), Gpa{end});
  const auto padded = memory().read_padded(Gpa{end - 5}, std::span(bytes).first(20), std::byte{9});
  ASSERT_TRUE(padded);
  EXPECT_EQ(*padded, 15U);
  EXPECT_EQ(bytes[5], std::byte{9});
}

TEST_P(XenMemoryTest, BadElementsOfABatchSpoilNoOther) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const std::uint64_t start = domain().said("stamp_start");
  std::vector<std::array<std::byte, 100>> into(300);
  std::vector<ReadRequest> batch;
  const auto is_bad = [](std::size_t i) { return i % 7 == 3; };
  for (std::size_t i = 0; i < into.size(); ++i)
    batch.push_back(
        {.gpa = Gpa{is_bad(i) ? 0x4'0000'0000 + i * kPageSize : start + i * 0x1711 % 0x900000},
         .into = into[i]});
  memory().read(batch);
  for (std::size_t i = 0; i < into.size(); ++i) {
    ASSERT_EQ(batch[i].status, is_bad(i) ? Errc::hole : Errc::none) << i;
    if (is_bad(i)) continue;
    EXPECT_TRUE(std::ranges::equal(into[i], domain().stamps(to_integer(batch[i].gpa), 100))) << i;
  }
}

TEST_P(XenMemoryTest, WritesOfAnyStartAndLengthArriveAlone) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  ASSERT_TRUE(memory().writable());
  const std::uint64_t start = domain().said("stamp_end") - 0x10000;
  const auto before = domain().stamps(start, 0x10000);
  for (const auto& [offset, size] : std::array<std::pair<std::size_t, std::size_t>, 4>{
           {{5, 1}, {0xffd, 7}, {1, 0x3002}, {0x2000, 0x1000}}}) {
    auto expected = before;
    const std::vector<std::byte> bytes(size, std::byte{0xa5});
    std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(offset));
    const auto done = memory().write(Gpa{start + offset}, bytes);
    ASSERT_TRUE(done) << to_text(done.error());
    const auto real = domain().bare().read(start, before.size());
    EXPECT_TRUE(real && *real == expected) << offset << '+' << size;
    ASSERT_TRUE(memory().write(Gpa{start}, before));
  }
}

TEST_P(XenMemoryTest, AWriteToAHoleFails) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto done = memory().write_value(Gpa{0x4'0000'0000}, 1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::hole);
}

TEST_P(XenMemoryTest, ARunningGuestIsSeenToMove) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const Gpa ticks{domain().said("counters")};
  const auto first = memory().read_value<std::uint64_t>(ticks);
  ASSERT_TRUE(first);
  ASSERT_TRUE(alive());
  const auto second = memory().read_value<std::uint64_t>(ticks);
  ASSERT_TRUE(second);
  EXPECT_GT(*second, *first) << "from a copy that is too old";
}

TEST_P(XenMemoryTest, TheMapIsABoundThatHoldsAllRam) {
  MICROVMI_NEEDS_DOMAIN(GetParam());
  ASSERT_NO_FATAL_FAILURE(use(GetParam()));
  const auto map = memory().map();
  EXPECT_TRUE(map->find(Gpa{0}));
  EXPECT_TRUE(map->find(Gpa{domain().said("stamp_end") - 1}));
  EXPECT_GE(to_integer(map->end_of_memory()), domain().said("stamp_end"));
  EXPECT_TRUE(memory().refresh());
}

INSTANTIATE_TEST_SUITE_P(Xen, XenMemoryTest, testing::Values(kTiny, kHvm),
                         [](const auto& name) { return std::string(name.param); });

}  // namespace
}  // namespace microvmi::test::xen
