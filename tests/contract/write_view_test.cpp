// SPDX-License-Identifier: Apache-2.0
// Writing, where the backend can; and memory in place, without a copy.
#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

class WriteContract : public ContractTest {};
class ViewContract : public ContractTest {};

TEST_P(WriteContract, WhatIsWrittenIsThereOrTheReasonIsTold) {
  const Gpa gpa = still_.back().gpa + (kPageSize - 3);  // across pages
  const std::vector<std::byte> bytes{std::byte{1}, std::byte{2}, std::byte{3},
                                     std::byte{4}, std::byte{5}, std::byte{6}};
  const auto before = truth(gpa, bytes.size());
  const auto done = memory().write(gpa, bytes);
  if (!can(Capability::memory_write)) {
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().code, testing::AnyOf(Errc::read_only, Errc::not_supported));
    EXPECT_EQ(truth(gpa, bytes.size()), before);
    return;
  }
  ASSERT_TRUE(done) << to_text(done.error());
  std::vector<std::byte> back(bytes.size());
  ASSERT_TRUE(memory().read(gpa, back));
  EXPECT_EQ(back, bytes);
  if (GetParam().name != std::string("fake_guest")) {
    EXPECT_EQ(truth(gpa, bytes.size()), bytes) << "the guest does not have it";
  }
  EXPECT_TRUE(memory().write(gpa, before));
}

TEST_P(WriteContract, AHoleIsNotWritten) {
  const std::vector<std::byte> bytes(16, std::byte{0xCC});
  std::vector<WriteRequest> batch{{.gpa = end(), .from = bytes},
                                  {.gpa = end() + (1ULL << 40), .from = bytes},
                                  {.gpa = Gpa{~0ULL - 3}, .from = bytes}};
  memory().write(batch);
  for (const WriteRequest& request : batch) {
    EXPECT_NE(request.status, Errc::none);
    EXPECT_EQ(request.done, 0U);
  }
  if (!can(Capability::memory_write)) return;
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].failed_at, end());
  EXPECT_EQ(batch[1].status, Errc::hole);
  EXPECT_EQ(batch[2].status, Errc::invalid_argument);
}

TEST_P(WriteContract, GoodAndBadDoNotMix) {
  if (!can(Capability::memory_write)) return;  // the test above has seen it refused
  const Gpa first = still_.front().gpa;
  const Gpa last = still_.back().gpa;
  const auto before_first = truth(first, 16);
  const auto before_last = truth(last, 16);
  const std::vector<std::byte> bytes(16, std::byte{0xC3});
  std::vector<WriteRequest> batch{
      {.gpa = first, .from = bytes}, {.gpa = end(), .from = bytes}, {.gpa = last, .from = bytes}};
  memory().write(batch);
  EXPECT_EQ(batch[0].status, Errc::none);
  EXPECT_EQ(batch[1].status, Errc::hole);
  EXPECT_EQ(batch[2].status, Errc::none);
  std::vector<std::byte> back(16);
  ASSERT_TRUE(memory().read(last, back));
  EXPECT_EQ(back, bytes);
  EXPECT_TRUE(memory().write(first, before_first));
  EXPECT_TRUE(memory().write(last, before_last));
}

TEST_P(ViewContract, AViewEqualsARead) {
  for (const MemoryRegion& region : still_) {
    const MemoryRegion* mapped = memory().map()->find(region.gpa);
    ASSERT_TRUE(mapped);
    const std::uint64_t size =
        std::min({region.size, mapped->end() - region.gpa, 64 * kPageSize}) - 3;
    const View view = memory().view(region.gpa + 3, size);
    if (!can(Capability::memory_view)) {
      EXPECT_FALSE(view);
      continue;
    }
    ASSERT_TRUE(view) << std::hex << to_integer(region.gpa);
    ASSERT_EQ(view.bytes().size(), size);
    std::vector<std::byte> bytes(size);
    ASSERT_TRUE(memory().read(region.gpa + 3, bytes));
    EXPECT_TRUE(std::ranges::equal(view.bytes(), bytes));
  }
}

TEST_P(ViewContract, ThereIsNoViewOfAHole) {
  EXPECT_FALSE(memory().view(end(), 1));
  EXPECT_FALSE(memory().view(end() + ~7ULL, 9));
  EXPECT_FALSE(memory().view(end() + (1ULL << 40), 1));
  EXPECT_FALSE(memory().view(Gpa{~0ULL}, 2));
  EXPECT_FALSE(memory().view(Gpa{0}, 1ULL << 63));
  EXPECT_FALSE(memory().view(Gpa{0}, ~0ULL));
  EXPECT_FALSE(memory().view(Gpa{0}, 0));
}

TEST_P(ViewContract, AViewOutlivesTheVm) {
  if (!can(Capability::memory_view)) return;  // the test above has seen that there is none
  const Gpa gpa = still_.back().gpa;
  const auto bytes = truth(gpa, kPageSize);
  const View view = memory().view(gpa, kPageSize);
  ASSERT_TRUE(view);
  vm_.reset();
  EXPECT_TRUE(std::ranges::equal(view.bytes(), bytes));
}

INSTANTIATE_TEST_SUITE_P(All, WriteContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });
INSTANTIATE_TEST_SUITE_P(All, ViewContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
