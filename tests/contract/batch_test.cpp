// SPDX-License-Identifier: Apache-2.0
// Batches: each request gets its own answer; and several threads at once.
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

class BatchContract : public ContractTest {
 protected:
  // Pages of memory that stays, spread over all of it.
  std::vector<Gpa> some_pages(std::size_t count) {
    std::mt19937_64 random(7);
    std::vector<Gpa> pages;
    while (pages.size() < count) {
      const MemoryRegion& region = still_[random() % still_.size()];
      pages.push_back(region.gpa + random() % (region.size / kPageSize) * kPageSize);
    }
    return pages;
  }
};

// What went wrong in threads: how often, and the first of it.
class Faults {
 public:
  void add(Gpa gpa, const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (count_++ != 0) return;
    std::ostringstream text;
    text << "first at 0x" << std::hex << to_integer(gpa) << ": " << what;
    first_ = text.str();
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] const std::string& first() const { return first_; }

 private:
  std::mutex mutex_;
  std::size_t count_ = 0;
  std::string first_;
};

// Empty where they are the same.
std::string difference(std::span<const std::byte> read, std::span<const std::byte> real) {
  const auto [one, other] = std::ranges::mismatch(read, real);
  if (one == read.end() && other == real.end()) return {};
  std::size_t differing = 0;
  for (std::size_t i = 0; i < std::min(read.size(), real.size()); ++i)
    if (read[i] != real[i]) ++differing;
  std::ostringstream text;
  text << differing << " of " << read.size() << " bytes differ from offset " << one - read.begin();
  return text.str();
}

TEST_P(BatchContract, GoodAndBadDoNotMix) {
  const auto pages = some_pages(3);
  std::array<std::array<std::byte, 64>, 5> into{};
  std::vector<ReadRequest> batch{{.gpa = pages[0], .into = into[0]},
                                 {.gpa = end(), .into = into[1]},
                                 {.gpa = pages[1], .into = into[2]},
                                 {.gpa = end() + (1ULL << 40), .into = into[3]},
                                 {.gpa = pages[2], .into = into[4]}};
  memory().read(batch);
  for (const std::size_t good : {0U, 2U, 4U}) {
    EXPECT_EQ(batch[good].status, Errc::none) << good;
    EXPECT_EQ(batch[good].done, 64U);
    EXPECT_TRUE(std::ranges::equal(truth(batch[good].gpa, 64), into[good])) << good;
  }
  for (const std::size_t bad : {1U, 3U}) {
    EXPECT_EQ(batch[bad].status, Errc::hole) << bad;
    EXPECT_EQ(batch[bad].failed_at, batch[bad].gpa);
    EXPECT_EQ(batch[bad].done, 0U);
  }
}

// 1024 is IOV_MAX of Linux: how many pieces one system call takes.
TEST_P(BatchContract, MoreRequestsThanOneSystemCallTakes) {
  constexpr std::size_t kCount = 3 * 1024 + 5;
  const auto pages = some_pages(64);
  std::vector<std::array<std::byte, 24>> into(kCount);
  std::vector<ReadRequest> batch;
  for (std::size_t i = 0; i < kCount; ++i)
    batch.push_back({.gpa = i % 100 == 50 ? end() + i : pages[i % 64] + i % 4000, .into = into[i]});
  memory().read(batch);
  std::vector<std::vector<std::byte>> real;
  for (const Gpa page : pages) real.push_back(truth(page, kPageSize));
  for (std::size_t i = 0; i < kCount; ++i) {
    const bool bad = i % 100 == 50;
    ASSERT_EQ(batch[i].status, bad ? Errc::hole : Errc::none) << i;
    if (bad) continue;
    ASSERT_EQ(batch[i].done, 24U);
    ASSERT_TRUE(std::ranges::equal(std::span(real[i % 64]).subspan(i % 4000, 24), into[i])) << i;
  }
}

TEST_P(BatchContract, ManyPagesAtOnce) {
  const auto pages = some_pages(1500);
  std::vector<std::byte> into(pages.size() * kPageSize);
  std::vector<ReadRequest> batch;
  for (std::size_t i = 0; i < pages.size(); ++i)
    batch.push_back({.gpa = pages[i], .into = std::span(into).subspan(i * kPageSize, kPageSize)});
  memory().read(batch);
  EXPECT_TRUE(std::ranges::all_of(
      batch, [](const ReadRequest& r) { return r.status == Errc::none && r.done == kPageSize; }));
  for (std::size_t i = 0; i < pages.size(); i += 97)
    EXPECT_TRUE(std::ranges::equal(truth(pages[i], kPageSize), batch[i].into)) << i;
}

TEST_P(BatchContract, AnEmptyBatchIsNoWork) { memory().read(std::span<ReadRequest>{}); }

TEST_P(BatchContract, SeveralThreadsRead) {
  const auto pages = some_pages(32);
  std::vector<std::vector<std::byte>> real;
  for (const Gpa page : pages) real.push_back(truth(page, kPageSize));
  Faults faults;
  const auto work = [&](std::size_t first) {
    std::vector<std::byte> into(kPageSize);
    for (std::size_t i = 0; i < 400; ++i) {
      const std::size_t which = (first + i) % pages.size();
      if (const auto done = memory().read(pages[which], into); !done)
        faults.add(pages[which], to_text(done.error()));
      else if (const auto fault = difference(into, real[which]); !fault.empty())
        faults.add(pages[which], fault);
      if (memory().read(end(), into)) faults.add(end(), "nothing is there, and it was read");
      if (const View view = memory().view(pages[which], kPageSize))
        if (const auto fault = difference(view.bytes(), real[which]); !fault.empty())
          faults.add(pages[which], "in a view " + fault);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i) threads.emplace_back(work, i * 8);
  }
  EXPECT_EQ(faults.count(), 0U) << faults.first();
}

INSTANTIATE_TEST_SUITE_P(All, BatchContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
