// SPDX-License-Identifier: Apache-2.0
// Layouts that are wrong, and targets that change while they are read.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "host/linux/process_memory.hpp"
#include "unit/host/target.hpp"

namespace microvmi::host {
namespace {

using test::Backing;
using test::kHigh;
using test::Target;
using test::word_at;
using Kind = MemoryRegion::Kind;

constexpr std::uint64_t kSmall = std::uint64_t{2} << 20;

std::unique_ptr<ProcessMemory> open_memory(const Target& target, LayoutSource source,
                                           CopyMode mode = CopyMode::mapping) {
  auto memory = ProcessMemory::open(*Process::open(target.pid()), std::move(source), mode);
  EXPECT_TRUE(memory) << to_text(memory.error());
  return *std::move(memory);
}

LayoutSource fixed(std::vector<Segment> segments) {
  return [segments] { return Layout{.segments = segments}; };
}

TEST(ProcessMemoryLayoutTest, AnImpossibleOneIsRefused) {
  const Target target(Backing::anonymous, kSmall);
  const std::uint64_t hva = target.address();
  const std::array<std::vector<Segment>, 7> bad{{
      {{.gpa = Gpa{0}, .size = 0, .hva = hva}},
      {{.gpa = Gpa{1}, .size = kPageSize, .hva = hva}},
      {{.gpa = Gpa{0}, .size = kPageSize + 1, .hva = hva}},
      {{.gpa = Gpa{0}, .size = kPageSize, .hva = hva + 1}},
      {{.gpa = Gpa{~0ULL - 4095}, .size = 2 * kPageSize, .hva = hva}},
      {{.gpa = Gpa{0}, .size = 2 * kPageSize, .hva = ~0ULL - 4095}},
      {{.gpa = Gpa{0}, .size = 2 * kPageSize, .hva = hva},
       {.gpa = Gpa{kPageSize}, .size = kPageSize, .hva = hva}},
  }};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto memory = ProcessMemory::open(*Process::open(target.pid()), fixed(bad[i]));
    ASSERT_FALSE(memory) << i;
    EXPECT_EQ(memory.error().code, Errc::protocol) << i;
  }
  const auto failed = ProcessMemory::open(
      *Process::open(target.pid()), [] { return Expected<Layout>(fail(Errc::busy, "not now")); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::busy);
}

TEST(ProcessMemoryLayoutTest, NeighboursAreOneRegion) {
  const Target target(Backing::memfd_shared, kSmall);
  const std::uint64_t hva = target.address();
  const auto memory = open_memory(
      target,
      fixed({{.gpa = Gpa{0}, .size = kPageSize, .hva = hva + kPageSize},
             {.gpa = Gpa{kPageSize}, .size = kPageSize, .hva = hva},
             {.gpa = Gpa{2 * kPageSize}, .size = kPageSize, .hva = hva, .kind = Kind::rom}}));
  ASSERT_EQ(memory->map()->regions.size(), 2U);
  EXPECT_EQ(memory->map()->regions[0].size, 2 * kPageSize);
  EXPECT_EQ(memory->map()->regions[1].kind, Kind::rom);
  std::array<std::uint64_t, 2> words{};
  ASSERT_TRUE(memory->read(Gpa{kPageSize - 8}, std::as_writable_bytes(std::span(words))));
  EXPECT_EQ(words[0], word_at(2 * kPageSize - 8));
  EXPECT_EQ(words[1], word_at(0));
}

TEST(ProcessMemoryLayoutTest, RomIsReadOnly) {
  const Target target(Backing::anonymous, kSmall);
  const std::uint64_t hva = target.address();
  const auto memory = open_memory(
      target,
      fixed(
          {{.gpa = Gpa{0}, .size = kPageSize, .hva = hva},
           {.gpa = Gpa{kPageSize}, .size = kPageSize, .hva = hva + kPageSize, .kind = Kind::rom}}));
  const std::vector<std::byte> bytes(16, std::byte{1});
  std::array<WriteRequest, 3> batch{{{.gpa = Gpa{kPageSize - 8}, .from = bytes},
                                     {.gpa = Gpa{kPageSize}, .from = bytes},
                                     {.gpa = Gpa{0}, .from = bytes}}};
  memory->write(batch);
  EXPECT_EQ(batch[0].status, Errc::read_only);
  EXPECT_EQ(batch[0].done, 8U);
  EXPECT_EQ(batch[0].failed_at, Gpa{kPageSize});
  EXPECT_EQ(batch[1].status, Errc::read_only);
  EXPECT_EQ(batch[2].status, Errc::none);
  EXPECT_EQ(target.word(hva + kPageSize), word_at(kPageSize));
  EXPECT_EQ(*memory->read_value<std::uint64_t>(Gpa{kPageSize}), word_at(kPageSize));
}

TEST(ProcessMemoryLayoutTest, WhatTheProcessMayNotReadIsAHole) {
  for (const Backing backing : {Backing::anonymous, Backing::memfd_shared}) {
    const Target target(backing, kSmall);
    target.protect_none(target.address() + 4 * kPageSize, kPageSize);
    const auto memory = open_memory(
        target, fixed({{.gpa = Gpa{0}, .size = kSmall, .hva = target.address()}}), CopyMode::reads);
    std::vector<std::byte> into(16 * kPageSize);
    std::array batch{ReadRequest{.gpa = Gpa{8}, .into = into},
                     ReadRequest{.gpa = Gpa{5 * kPageSize}, .into = std::span(into).first(8)}};
    memory->read(batch);
    // Through /proc/PID/mem the page can be read all the same, as a debugger may.
    if (batch[0].status == Errc::none) continue;
    EXPECT_EQ(batch[0].status, Errc::hole);
    EXPECT_EQ(batch[0].done, 4 * kPageSize - 8);
    EXPECT_EQ(batch[0].failed_at, Gpa{4 * kPageSize});
    EXPECT_EQ(batch[1].status, Errc::none);
  }
}

class ProcessMemoryUnmapTest : public testing::TestWithParam<Backing> {};
INSTANTIATE_TEST_SUITE_P(Backings, ProcessMemoryUnmapTest,
                         testing::Values(Backing::anonymous, Backing::memfd_shared));

TEST_P(ProcessMemoryUnmapTest, UnmappedMemoryIsAHoleFromTheNextRefresh) {
  const Target target(GetParam(), kSmall);
  const auto memory =
      open_memory(target, fixed({{.gpa = Gpa{0}, .size = kSmall, .hva = target.address()}}));
  target.unmap(target.address() + kSmall / 2, kSmall / 2);
  ASSERT_TRUE(memory->refresh());
  std::vector<std::byte> into(kSmall);
  std::array batch{ReadRequest{.gpa = Gpa{0}, .into = into}};
  memory->read(batch);
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, kSmall / 2);
  EXPECT_EQ(batch[0].failed_at, Gpa{kSmall / 2});
}

TEST(ProcessMemoryChangeTest, AFaultAsksForTheLayoutOnceMore) {
  const Target target(Backing::anonymous, kSmall);
  std::atomic<std::uint64_t> hva = target.address();
  std::atomic<int> asked = 0;
  const auto memory = open_memory(target, [&] {
    ++asked;
    return Layout{.segments = {{.gpa = Gpa{0}, .size = kSmall, .hva = hva}}};
  });
  EXPECT_EQ(asked, 1);
  hva = target.map_more(Backing::anonymous, kSmall);
  target.unmap(target.address(), kSmall);
  for (int i = 0; i < 3; ++i) {
    const auto word = memory->read_value<std::uint64_t>(Gpa{0x1000});
    ASSERT_TRUE(word) << to_text(word.error());
    EXPECT_EQ(*word, word_at(0x1000));
  }
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(memory->map()->generation, 0U) << "the guest's own layout is what it was";
  target.unmap(hva, kSmall);
  EXPECT_EQ(memory->read_value<std::uint64_t>(Gpa{0}).error().code, Errc::hole);
  EXPECT_EQ(memory->read_value<std::uint64_t>(Gpa{0}).error().code, Errc::hole);
  EXPECT_EQ(asked, 3) << "asked again without a change";
}

TEST(ProcessMemoryChangeTest, APluggedDimmIsFoundByItself) {
  const Target target(Backing::memfd_shared, kSmall);
  std::atomic<std::uint64_t> dimm = 0;
  const auto memory = open_memory(target, [&] {
    Layout layout{.segments = {{.gpa = Gpa{0}, .size = kSmall, .hva = target.address()}}};
    if (dimm != 0) layout.segments.push_back({.gpa = Gpa{kHigh}, .size = kSmall, .hva = dimm});
    return layout;
  });
  ASSERT_TRUE(memory->refresh());
  EXPECT_EQ(memory->map()->generation, 0U);
  const auto before = memory->map();
  dimm = target.map_more(Backing::memfd_shared, kSmall);
  EXPECT_FALSE(memory->read_value<std::uint64_t>(Gpa{kHigh}));
  std::this_thread::sleep_for(ProcessMemory::kRecheckInterval + std::chrono::milliseconds(50));
  EXPECT_EQ(*memory->read_value<std::uint64_t>(Gpa{kHigh + 8}), word_at(8));
  EXPECT_TRUE(memory->view(Gpa{kHigh}, 8));
  EXPECT_EQ(memory->map()->generation, 1U);
  EXPECT_EQ(memory->map()->regions.size(), 2U);
  EXPECT_EQ(before->regions.size(), 1U) << "a map that was given out never changes";

  target.unmap(dimm, kSmall);
  dimm = 0;
  std::this_thread::sleep_for(ProcessMemory::kRecheckInterval + std::chrono::milliseconds(50));
  EXPECT_EQ(memory->read_value<std::uint64_t>(Gpa{kHigh}).error().code, Errc::hole)
      << "nothing comes from the file of memory that was unplugged";
}

TEST(ProcessMemoryChangeTest, ACutFileIsAnErrorOfInputAndOutput) {
  const int fd = ::memfd_create("cut", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(fd, kSmall), 0);
  const Target target([fd] {
    return reinterpret_cast<std::uint64_t>(
        ::mmap(nullptr, kSmall, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  });
  const auto memory =
      open_memory(target, fixed({{.gpa = Gpa{0}, .size = kSmall, .hva = target.address()}}));
  ASSERT_TRUE(memory->viewable());
  ASSERT_EQ(::ftruncate(fd, 8 * kPageSize), 0);
  std::vector<std::byte> into(16 * kPageSize);
  std::array batch{ReadRequest{.gpa = Gpa{100}, .into = into},
                   ReadRequest{.gpa = Gpa{kSmall - 8}, .into = std::span(into).first(8)},
                   ReadRequest{.gpa = Gpa{8}, .into = std::span(into).first(8)}};
  memory->read(batch);
  EXPECT_EQ(batch[0].status, Errc::io);
  EXPECT_EQ(batch[0].done, 8 * kPageSize - 100);
  EXPECT_EQ(batch[0].failed_at, Gpa{8 * kPageSize});
  EXPECT_EQ(batch[1].status, Errc::io);
  EXPECT_EQ(batch[2].status, Errc::none);
  ::close(fd);
}

TEST(ProcessMemoryChangeTest, ReadersGoOnWhileTheLayoutIsReplaced) {
  const Target target(Backing::memfd_shared, kSmall);
  std::atomic<int> round = 0;
  const auto memory = open_memory(target, [&] {
    const std::uint64_t size = (++round % 2 == 0) ? kSmall : kSmall / 2;
    return Layout{.segments = {{.gpa = Gpa{0}, .size = size, .hva = target.address()}}};
  });
  std::atomic<bool> stop = false;
  std::vector<std::jthread> readers;
  for (std::uint64_t t = 0; t < 4; ++t)
    readers.emplace_back([&, t] {
      for (std::uint64_t i = t; !stop; i = (i + 513) % (kSmall / 16)) {
        const auto word = memory->read_value<std::uint64_t>(Gpa{i * 8});
        ASSERT_TRUE(word);
        ASSERT_EQ(*word, word_at(i * 8));
        const auto map = memory->map();
        ASSERT_GE(map->regions[0].size, kSmall / 2);
        const View view = memory->view(Gpa{i * 8}, 8);
        ASSERT_TRUE(view);
      }
    });
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(memory->refresh());
  stop = true;
  readers.clear();
  EXPECT_EQ(memory->map()->generation, 200U);
}

}  // namespace
}  // namespace microvmi::host
