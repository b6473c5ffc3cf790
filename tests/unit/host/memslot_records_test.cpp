// SPDX-License-Identifier: Apache-2.0
// Records as the BPF program writes them, good and bad.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "host/bpf/memslot_records.hpp"

namespace microvmi::host {
namespace {

using testing::HasSubstr;
using State = MemslotRecords::State;

// The 48 bytes of a record: u32 kind, fd; u64 vm, gpa, size, hva; u32 flags; s16 id; u16 space.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof value);
    return *this;
  }
  Bytes& record(std::uint32_t kind, std::uint64_t vm, std::array<std::uint64_t, 3> words,
                std::uint32_t flags, std::int16_t id = 0, std::uint16_t space = 0) {
    put(kind).put(std::uint32_t{7}).put(vm);
    for (const std::uint64_t word : words) put(word);
    return put(flags).put(id).put(space);
  }
  Bytes& vm(std::uint64_t vm, std::uint64_t generation = 4, std::int16_t spaces = 1) {
    return record(1, vm, {0, generation, 0}, 1, spaces);
  }
  Bytes& slot(std::uint64_t vm, std::uint64_t gpa, std::uint16_t space = 0) {
    return record(2, vm, {gpa, 0x1000, 0x7000'0000 + gpa}, 2, 3, space);
  }
  Bytes& end(std::uint64_t vm, std::uint64_t seen, std::uint32_t flags = 0) {
    return record(3, vm, {seen, 4, 0}, flags);
  }
  operator std::span<const std::byte>() const { return bytes_; }
  std::vector<std::byte> bytes_;
};

std::string refusal(const Bytes& bytes) {
  MemslotRecords records;
  const auto state = records.add(bytes);
  EXPECT_FALSE(state);
  if (state) return "";
  EXPECT_EQ(state.error().code, Errc::protocol);
  return state.error().message;
}

TEST(MemslotRecordsTest, OneVm) {
  MemslotRecords records;
  const auto state = records.add(Bytes().vm(9).slot(9, 0).slot(9, 0x5000).end(9, 2));
  ASSERT_TRUE(state) << to_text(state.error());
  EXPECT_EQ(*state, State::done);
  const auto all = records.take();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].fd, 7);
  EXPECT_TRUE(all[0].own_memory);
  EXPECT_EQ(all[0].spaces, 1);
  ASSERT_EQ(all[0].slots.size(), 2U);
  EXPECT_EQ(all[0].slots[1],
            (Memslot{.gpa = 0x5000, .size = 0x1000, .hva = 0x7000'5000, .flags = 2, .id = 3}));
}

TEST(MemslotRecordsTest, NothingIsNothing) {
  MemslotRecords records;
  EXPECT_EQ(records.add({}).value_or(State::more), State::done);
  EXPECT_TRUE(records.take().empty());
}

TEST(MemslotRecordsTest, EmptySlotsAreNone) {
  MemslotRecords records;
  ASSERT_TRUE(records.add(Bytes().vm(9).record(2, 9, {0, 0, 0}, 0).slot(9, 0x1000).end(9, 2)));
  EXPECT_EQ(records.take().at(0).slots.size(), 1U);
}

TEST(MemslotRecordsTest, SeveralPassesOfSeveralVms) {
  MemslotRecords records;
  const auto first =
      records.add(Bytes().vm(9).slot(9, 0).slot(9, 0x1000).end(9, 3, 1).vm(8).slot(8, 0).end(8, 1));
  ASSERT_TRUE(first) << to_text(first.error());
  EXPECT_EQ(*first, State::more);
  EXPECT_EQ(records.next(), 2U);
  const auto second = records.add(Bytes().vm(9).slot(9, 0x2000).end(9, 3).vm(8).end(8, 1));
  ASSERT_TRUE(second) << to_text(second.error());
  EXPECT_EQ(*second, State::done);
  const auto all = records.take();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].slots.size(), 3U);
  EXPECT_EQ(all[1].slots.size(), 1U);
}

TEST(MemslotRecordsTest, AVmThatIsClosedBetweenTwoPassesIsNoAnswer) {
  MemslotRecords records;
  const auto first = records.add(Bytes().vm(9).slot(9, 0).end(9, 2, 1).vm(8).slot(8, 0).end(8, 1));
  EXPECT_EQ(first.value_or(State::done), State::more);
  EXPECT_EQ(records.add(Bytes().vm(8).end(8, 1)).value_or(State::done), State::changed)
      << "one slot of two was told";
  MemslotRecords alone;
  ASSERT_TRUE(alone.add(Bytes().vm(9).slot(9, 0).end(9, 2, 1)));
  EXPECT_EQ(alone.add({}).value_or(State::done), State::changed);
}

TEST(MemslotRecordsTest, TwoDescriptorsOfOneVmAreOne) {
  MemslotRecords records;
  ASSERT_TRUE(records.add(Bytes().vm(9).slot(9, 0).end(9, 1).vm(9).slot(9, 0).end(9, 1)));
  EXPECT_EQ(records.take().size(), 1U);
}

TEST(MemslotRecordsTest, AChangeIsNoAnswer) {
  MemslotRecords records;
  EXPECT_EQ(records.add(Bytes().vm(9).slot(9, 0).end(9, 1, 2)).value_or(State::done),
            State::changed);
  MemslotRecords other;
  ASSERT_TRUE(other.add(Bytes().vm(9).slot(9, 0).end(9, 2, 1)));
  EXPECT_EQ(other.add(Bytes().vm(9, 6).slot(9, 0x1000).end(9, 2)).value_or(State::done),
            State::changed)
      << "another generation than that of the first pass";
}

TEST(MemslotRecordsTest, WhatCannotBeIsRefused) {
  Bytes half;
  half.vm(9).bytes_.pop_back();
  EXPECT_THAT(refusal(half), HasSubstr("half a record"));
  EXPECT_THAT(refusal(Bytes().record(4, 9, {}, 0)), HasSubstr("unknown kind"));
  EXPECT_THAT(refusal(Bytes().slot(9, 0)), HasSubstr("a slot without"));
  EXPECT_THAT(refusal(Bytes().end(9, 0)), HasSubstr("an end without"));
  EXPECT_THAT(refusal(Bytes().vm(9).vm(8)), HasSubstr("without its end"));
  EXPECT_THAT(refusal(Bytes().vm(9).slot(9, 0)), HasSubstr("without its end"));
  EXPECT_THAT(refusal(Bytes().vm(9).slot(8, 0).end(9, 1)), HasSubstr("a slot without"));
  EXPECT_THAT(refusal(Bytes().vm(9).slot(9, 0, 1).end(9, 1)), HasSubstr("address space"));
  EXPECT_THAT(refusal(Bytes().vm(9, 4, 3)), HasSubstr("number of address spaces"));
  EXPECT_THAT(refusal(Bytes().vm(9).slot(9, 0).end(9, 2)), HasSubstr("some are missing"));
  EXPECT_THAT(refusal(Bytes().vm(9).end(9, 2, 1)), HasSubstr("told nothing"));
  EXPECT_THAT(refusal(Bytes().vm(9).end(9, 0, 4)), HasSubstr("too many"));
}

}  // namespace
}  // namespace microvmi::host
