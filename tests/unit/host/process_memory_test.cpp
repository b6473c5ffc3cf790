// SPDX-License-Identifier: Apache-2.0
// ProcessMemory over every kind of backing; the child that has the memory says what is in it.
#include "host/linux/process_memory.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "unit/host/target.hpp"

namespace microvmi::host {
namespace {

using test::Backing;
using test::kHigh;
using test::Target;
using test::word_at;
using Kind = MemoryRegion::Kind;

constexpr std::uint64_t kSize = std::uint64_t{4} << 20;

struct Case {
  const char* name;
  Backing backing;
  CopyMode mode;
  bool in_place;
};

// 3 MiB at 0 and 1 MiB at 4 GiB, with a hole between them, from one range of the process.
class ProcessMemoryTest : public testing::TestWithParam<Case> {
 protected:
  ProcessMemoryTest() : target_(GetParam().backing, kSize) {
    auto process = Process::open(target_.pid());
    EXPECT_TRUE(process) << to_text(process.error());
    auto memory = ProcessMemory::open(
        *std::move(process), [hva = target_.address()] { return layout(hva); }, GetParam().mode);
    EXPECT_TRUE(memory) << to_text(memory.error());
    memory_ = *std::move(memory);
  }

  static Expected<Layout> layout(std::uint64_t hva) {
    return Layout{.segments = {{.gpa = Gpa{kHigh}, .size = kSize - kSplit, .hva = hva + kSplit},
                               {.gpa = Gpa{0}, .size = kSplit, .hva = hva}}};
  }

  static std::byte byte_at(std::uint64_t offset) {
    return static_cast<std::byte>(word_at(offset & ~7ULL) >> (offset % 8 * 8));
  }
  static std::byte byte_at(Gpa gpa) {
    return byte_at(to_integer(gpa) < kHigh ? to_integer(gpa) : to_integer(gpa) - kHigh + kSplit);
  }

  static void expect_bytes(Gpa gpa, std::span<const std::byte> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(bytes[i], byte_at(gpa + i)) << to_integer(gpa) + i;
  }

  static constexpr std::uint64_t kSplit = std::uint64_t{3} << 20;
  Target target_;
  std::unique_ptr<ProcessMemory> memory_;
};

INSTANTIATE_TEST_SUITE_P(
    Backings, ProcessMemoryTest,
    testing::Values(Case{"anonymous", Backing::anonymous, CopyMode::mapping, false},
                    Case{"memfd_shared", Backing::memfd_shared, CopyMode::mapping, true},
                    Case{"file_shared", Backing::file_shared, CopyMode::mapping, true},
                    Case{"file_private", Backing::file_private, CopyMode::mapping, false},
                    Case{"memfd_by_reads", Backing::memfd_shared, CopyMode::reads, false}),
    [](const auto& test) { return test.param.name; });

TEST_P(ProcessMemoryTest, TellsItsMap) {
  const auto map = memory_->map();
  ASSERT_EQ(map->regions.size(), 2U);
  EXPECT_EQ(map->regions[0], (MemoryRegion{.gpa = Gpa{0}, .size = kSplit}));
  EXPECT_EQ(map->regions[1], (MemoryRegion{.gpa = Gpa{kHigh}, .size = kSize - kSplit}));
  EXPECT_EQ(map->end_of_memory(), Gpa{kHigh + kSize - kSplit});
  EXPECT_TRUE(map->exact);
  EXPECT_TRUE(memory_->writable());
  EXPECT_EQ(memory_->viewable(), GetParam().in_place);
}

TEST_P(ProcessMemoryTest, ReadsAnyStartAndLength) {
  for (const std::size_t size : {1UL, 8UL, 4095UL, 4096UL, 4097UL, 65536UL, 1UL << 20})
    for (const std::uint64_t gpa :
         {std::uint64_t{0}, std::uint64_t{4093}, std::uint64_t{0x10001}, kSplit - size, kHigh}) {
      std::vector<std::byte> into(size);
      const auto done = memory_->read(Gpa{gpa}, into);
      ASSERT_TRUE(done) << to_text(done.error());
      expect_bytes(Gpa{gpa}, into);
    }
}

TEST_P(ProcessMemoryTest, EndsAtAHole) {
  for (const std::uint64_t end : {kSplit, kHigh + kSize - kSplit})
    for (const std::size_t before : {0UL, 1UL, 4096UL, 300000UL}) {
      std::vector<std::byte> into(before + 5000);
      std::array batch{ReadRequest{.gpa = Gpa{end - before}, .into = into}};
      memory_->read(batch);
      EXPECT_EQ(batch[0].status, Errc::hole);
      EXPECT_EQ(batch[0].done, before);
      EXPECT_EQ(batch[0].failed_at, Gpa{end});
      expect_bytes(Gpa{end - before}, std::span(into).first(before));
    }
}

TEST_P(ProcessMemoryTest, EachRequestHasItsOwnAnswer) {
  std::array<std::array<std::byte, 16>, 5> into{};
  std::array<ReadRequest, 5> batch{{{.gpa = Gpa{0x1000}, .into = into[0]},
                                    {.gpa = Gpa{kSplit + 0x1000}, .into = into[1]},
                                    {.gpa = Gpa{kHigh}, .into = into[2]},
                                    {.gpa = Gpa{kSplit - 8}, .into = into[3]},
                                    {.gpa = Gpa{0}, .into = into[4]}}};
  memory_->read(batch);
  const std::array<Errc, 5> status{Errc::none, Errc::hole, Errc::none, Errc::hole, Errc::none};
  const std::array<std::size_t, 5> done{16, 0, 16, 8, 16};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    EXPECT_EQ(batch[i].status, status[i]) << i;
    EXPECT_EQ(batch[i].done, done[i]) << i;
    expect_bytes(batch[i].gpa, std::span(into[i]).first(done[i]));
  }
  EXPECT_EQ(batch[3].failed_at, Gpa{kSplit});
}

TEST_P(ProcessMemoryTest, ABatchLongerThanTheSystemsLimit) {
  constexpr std::size_t kCount = 3001;
  std::vector<std::array<std::byte, 24>> into(kCount);
  std::vector<ReadRequest> batch;
  for (std::size_t i = 0; i < kCount; ++i)
    batch.push_back({.gpa = Gpa{i * 7919 % kSize}, .into = into[i]});
  memory_->read(batch);
  for (std::size_t i = 0; i < kCount; ++i) {
    const std::uint64_t gpa = to_integer(batch[i].gpa);
    const std::size_t there = gpa >= kSplit ? 0 : std::min<std::size_t>(24, kSplit - gpa);
    ASSERT_EQ(batch[i].done, there) << i;
    ASSERT_EQ(batch[i].status, there == 24 ? Errc::none : Errc::hole) << i;
    expect_bytes(batch[i].gpa, std::span(into[i]).first(there));
  }
}

TEST_P(ProcessMemoryTest, WritesReachTheProcess) {
  for (const std::size_t size : {8UL, 4096UL, 100000UL}) {
    std::vector<std::uint64_t> words((size + 7) / 8);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = i * 3 + size;
    ASSERT_TRUE(memory_->write(Gpa{kHigh + 64}, std::as_bytes(std::span(words))));
    for (const std::size_t i : {std::size_t{0}, words.size() / 2, words.size() - 1})
      EXPECT_EQ(target_.word(target_.address() + kSplit + 64 + i * 8), i * 3 + size);
    std::vector<std::uint64_t> back(words.size());
    ASSERT_TRUE(memory_->read(Gpa{kHigh + 64}, std::as_writable_bytes(std::span(back))));
    EXPECT_EQ(back, words);
  }
  EXPECT_EQ(target_.word(target_.address() + kSplit + 56), word_at(kSplit + 56));
}

TEST_P(ProcessMemoryTest, AWriteEndsAtAHole) {
  const std::vector<std::byte> bytes(64, std::byte{0x77});
  std::array<WriteRequest, 3> batch{{{.gpa = Gpa{kSplit - 16}, .from = bytes},
                                     {.gpa = Gpa{kSplit + 16}, .from = bytes},
                                     {.gpa = Gpa{64}, .from = bytes}}};
  memory_->write(batch);
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, 16U);
  EXPECT_EQ(batch[0].failed_at, Gpa{kSplit});
  EXPECT_EQ(batch[1].status, Errc::hole);
  EXPECT_EQ(batch[1].done, 0U);
  EXPECT_EQ(batch[2].status, Errc::none);
  EXPECT_EQ(target_.word(target_.address() + kSplit - 8), 0x7777777777777777U);
  // What the process has behind the end of this segment is the start of the other one.
  EXPECT_EQ(target_.word(target_.address() + kSplit), word_at(kSplit));
  EXPECT_EQ(target_.word(target_.address() + 64), 0x7777777777777777U);
}

TEST_P(ProcessMemoryTest, AViewIsThereWhereItCanBe) {
  const View view = memory_->view(Gpa{0x3001}, 10000);
  ASSERT_EQ(static_cast<bool>(view), GetParam().in_place);
  EXPECT_FALSE(memory_->view(Gpa{kSplit - 1}, 2)) << "reaches into the hole";
  EXPECT_FALSE(memory_->view(Gpa{kSplit}, 1));
  EXPECT_FALSE(memory_->view(Gpa{0}, ~std::size_t{0}));
  EXPECT_FALSE(memory_->view(Gpa{0}, 0));
  if (!view) return;
  expect_bytes(Gpa{0x3001}, view.bytes());
  ASSERT_TRUE(memory_->write_value(Gpa{0x3001}, std::uint8_t{0xAB}));
  EXPECT_EQ(view.bytes()[0], std::byte{0xAB}) << "a view shows what is there now";
}

TEST_P(ProcessMemoryTest, AViewOutlivesMemoryAndProcess) {
  const View view = memory_->view(Gpa{0}, kSplit);
  target_.kill();
  EXPECT_FALSE(memory_->view(Gpa{0}, 8));
  memory_.reset();
  if (GetParam().in_place) expect_bytes(Gpa{0}, view.bytes());
}

TEST_P(ProcessMemoryTest, ADeadProcessIsDisconnected) {
  target_.kill();
  for (const std::size_t size : {8UL, 4096UL, 100000UL}) {
    std::vector<std::byte> into(size);
    std::array<ReadRequest, 2> batch{
        {{.gpa = Gpa{0}, .into = into}, {.gpa = Gpa{kHigh}, .into = into}}};
    memory_->read(std::span(batch).first(1));
    EXPECT_EQ(batch[0].status, Errc::disconnected) << size;
    EXPECT_EQ(batch[0].done, 0U);
    memory_->read(batch);
    for (const ReadRequest& request : batch) EXPECT_EQ(request.status, Errc::disconnected) << size;
    EXPECT_EQ(memory_->write(Gpa{0}, into).error().code, Errc::disconnected);
  }
  EXPECT_EQ(memory_->refresh().error().code, Errc::disconnected);
}

}  // namespace
}  // namespace microvmi::host
