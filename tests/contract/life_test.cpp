// SPDX-License-Identifier: Apache-2.0
// Guests that come and go: several connections, and a guest that dies under the reader.
#include <atomic>
#include <thread>

#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

using namespace std::chrono_literals;

class LifeContract : public ContractTest {};

TEST_P(LifeContract, TwoConnectionsDoNotDisturbEachOther) {
  auto second = subject_->open();
  if (!subject_->shared()) {
    EXPECT_FALSE(second) << "only one may have it";
    std::byte byte{};
    EXPECT_TRUE(memory().read(still_.front().gpa, std::span(&byte, 1))) << "it was disturbed";
    return;
  }
  ASSERT_TRUE(second) << to_text(second.error());
  const Gpa gpa = still_.front().gpa;
  const auto real = truth(gpa, kPageSize);
  std::vector<std::byte> bytes(kPageSize);
  ASSERT_TRUE(memory().read(gpa, bytes));
  EXPECT_EQ(bytes, real);
  vm_.reset();
  std::ranges::fill(bytes, std::byte{});
  ASSERT_TRUE(second->memory().read(gpa, bytes));
  EXPECT_EQ(bytes, real);
}

TEST_P(LifeContract, OpenedAndClosedManyTimes) {
  if (!subject_->shared()) vm_.reset();
  for (int i = 0; i < 20; ++i) {
    auto again = subject_->open();
    ASSERT_TRUE(again) << i << ": " << to_text(again.error());
    std::byte byte{};
    ASSERT_TRUE(again->memory().read(still_.front().gpa, std::span(&byte, 1)));
  }
}

TEST_P(LifeContract, AMovedVmReadsOn) {
  Vm moved = *std::move(vm_);
  vm_.reset();
  std::vector<std::byte> bytes(16);
  EXPECT_TRUE(moved.memory().read(still_.front().gpa, bytes));
}

TEST_P(LifeContract, ADeadGuestIsAnError) {
  const Gpa gpa = still_.back().gpa;
  std::vector<std::byte> bytes(kPageSize);
  ASSERT_TRUE(memory().read(gpa, bytes));
  const auto expected = subject_->die();
  if (!expected) return;  // a guest that cannot be taken away
  const auto done = memory().read(gpa, bytes);
  ASSERT_FALSE(done) << "bytes of a guest that is no more";
  EXPECT_EQ(done.error().code, *expected) << to_text(done.error());
  EXPECT_FALSE(memory().read(still_.front().gpa, std::span(bytes).first(1)));
  EXPECT_FALSE(memory().write(gpa, bytes));
  EXPECT_FALSE(vm_->pause());
  EXPECT_FALSE(subject_->open()) << "nobody is there to be opened";
}

TEST_P(LifeContract, AGuestThatDiesWhileItIsRead) {
  const Gpa gpa = still_.back().gpa;
  const std::uint64_t size = std::min<std::uint64_t>(still_.back().size, 1U << 20);
  const auto real = truth(gpa, size);
  std::atomic<unsigned> good = 0;
  std::optional<Error> error;
  unsigned wrong = 0;
  std::jthread reader([&](const std::stop_token& stop) {
    std::vector<std::byte> bytes(size);
    while (!stop.stop_requested() && !error) {
      const auto done = memory().read(gpa, bytes);
      if (!done)
        error = done.error();
      else if (bytes != real)
        ++wrong;
      else
        ++good;
    }
  });
  for (int i = 0; i < 2000 && good < 3; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_GE(good, 3U);
  const auto expected = subject_->die();
  for (int i = 0; i < 400 && expected && !error; ++i) std::this_thread::sleep_for(5ms);
  reader.request_stop();
  reader.join();
  if (!expected) return;  // a guest that cannot be taken away
  ASSERT_TRUE(error) << "it still reads";
  EXPECT_EQ(error->code, *expected) << to_text(*error);
  EXPECT_EQ(wrong, 0U);
}

INSTANTIATE_TEST_SUITE_P(All, LifeContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
