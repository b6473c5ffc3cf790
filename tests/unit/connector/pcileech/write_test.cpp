// SPDX-License-Identifier: Apache-2.0
// Writing through LeechCore, whose results are looked at and whose dwords leave neighbours alone.
#include "unit/connector/pcileech/machine.hpp"

namespace microvmi::test {
namespace {

using Kind = LeechcoreMachine::Kind;

std::vector<std::byte> counted(std::size_t size) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 7 + 1);
  return out;
}

TEST(PcileechWrite, WholePagesAreInTheFileOnceItIsClosed) {
  const LeechcoreMachine machine(Kind::raw);
  const auto bytes = counted(4 * kPageSize);
  {
    auto vm = open_pcileech(machine.params("write=1"));
    ASSERT_TRUE(vm) << to_text(vm.error());
    ASSERT_TRUE(vm->memory().writable());
    ASSERT_TRUE(vm->memory().write(Gpa{0x8000}, bytes));
  }
  EXPECT_EQ(machine.truth(Gpa{0x8000}, bytes.size()), bytes);
}

TEST(PcileechWrite, AFileThatMayNotBeWrittenSaysSo) {
  const LeechcoreMachine machine(Kind::raw);
  const auto before = machine.truth(Gpa{0}, kPageSize);
  auto vm = open_pcileech(machine.params());
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_FALSE(vm->memory().writable());
  EXPECT_EQ(vm->memory().write(Gpa{0}, counted(16)).error().code, Errc::read_only);
  EXPECT_EQ(machine.truth(Gpa{0}, kPageSize), before);
}

TEST(PcileechSimulatedWrite, ADeviceThatWritesNothingIsAnError) {
  const LeechcoreMachine machine(Kind::raw);
  auto vm = open_pcileech(simulated(machine, "write=1,readonly=1"));
  ASSERT_TRUE(vm) << to_text(vm.error());
  const auto done = vm->memory().write(Gpa{0x3000}, counted(kPageSize));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::io);
  EXPECT_EQ(done.error().where, Place(Gpa{0x3000}));
}

// The stand-in ends itself where a piece is no whole dwords, or less than two.
TEST(PcileechSimulatedWrite, AnyStartAndAnyLengthLeavesItsNeighboursAlone) {
  const LeechcoreMachine machine(Kind::raw);
  auto vm = open_pcileech(simulated(machine, "write=1"));
  ASSERT_TRUE(vm) << to_text(vm.error());
  for (const std::uint64_t start : {0U, 1U, 3U, 4U, 4085U, 4088U, 4091U, 4092U, 4095U})
    for (const std::size_t size : {1U, 3U, 4U, 7U, 8U, 9U, 13U, 4096U, 9000U}) {
      const Gpa gpa = Gpa{0x4000} + start;
      auto expected = machine.truth(Gpa{0x3000}, 6 * kPageSize);
      const auto bytes = counted(size);
      std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(0x1000 + start));
      ASSERT_TRUE(vm->memory().write(gpa, bytes)) << start << '+' << size;
      ASSERT_TRUE(machine.truth(Gpa{0x3000}, 6 * kPageSize) == expected) << start << '+' << size;
    }
}

TEST(PcileechSimulatedWrite, ManyWritesIntoOnePageOfABatchAllCount) {
  const LeechcoreMachine machine(Kind::raw);
  auto vm = open_pcileech(simulated(machine, "write=1"));
  ASSERT_TRUE(vm) << to_text(vm.error());
  auto expected = machine.truth(Gpa{0x4000}, 2 * kPageSize);
  const auto bytes = counted(300);
  std::vector<WriteRequest> batch;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t at = i * 27;
    expected[at] = bytes[i];
    batch.push_back({.gpa = Gpa{0x4000} + at, .from = std::span(bytes).subspan(i, 1)});
  }
  vm->memory().write(batch);
  for (const WriteRequest& request : batch) ASSERT_EQ(request.status, Errc::none);
  EXPECT_TRUE(machine.truth(Gpa{0x4000}, 2 * kPageSize) == expected);
}

TEST(PcileechSimulatedWrite, WhatCannotBeReadBesideAWriteIsNotOverwritten) {
  const LeechcoreMachine machine(Kind::raw);
  auto vm = open_pcileech(simulated(machine, "write=1,bad=5000"));
  ASSERT_TRUE(vm) << to_text(vm.error());
  const auto before = machine.truth(Gpa{0x5000}, kPageSize);
  std::vector<std::byte> bytes(3, std::byte{0xCC});
  std::vector<WriteRequest> batch{{.gpa = Gpa{0x4001}, .from = bytes},
                                  {.gpa = Gpa{0x5001}, .from = bytes},
                                  {.gpa = Gpa{0x6001}, .from = bytes}};
  vm->memory().write(batch);
  EXPECT_EQ(batch[0].status, Errc::none);
  EXPECT_EQ(batch[1].status, Errc::io);
  EXPECT_EQ(batch[1].failed_at, Gpa{0x5001});
  EXPECT_EQ(batch[2].status, Errc::none);
  EXPECT_EQ(machine.truth(Gpa{0x5000}, kPageSize), before);
  EXPECT_EQ(machine.truth(Gpa{0x6001}, 3), bytes);
}

}  // namespace
}  // namespace microvmi::test
