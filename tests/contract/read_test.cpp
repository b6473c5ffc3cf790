// SPDX-License-Identifier: Apache-2.0
// Reading: any start and any length, and every hole an error with its address.
#include <sys/mman.h>

#include "contract/contract.hpp"

namespace microvmi::contract {
namespace {

class ReadContract : public ContractTest {
 protected:
  void expect_same(Gpa gpa, std::size_t size) {
    std::vector<std::byte> bytes(size);
    const auto done = memory().read(gpa, bytes);
    ASSERT_TRUE(done) << to_text(done.error());
    EXPECT_TRUE(bytes == truth(gpa, size)) << std::hex << to_integer(gpa) << '+' << size;
  }
};

TEST_P(ReadContract, EveryRegionReadsAsItIs) {
  for (const MemoryRegion& region : still_) {
    const std::uint64_t most = std::min<std::uint64_t>(region.size, 1U << 20);
    expect_same(region.gpa, most);
    expect_same(region.gpa + (region.size - most), most);
  }
}

TEST_P(ReadContract, AnyStartAndAnyLength) {
  const Gpa gpa = still_.front().gpa;
  for (const std::uint64_t start : {0U, 1U, 7U, 8U, 4088U, 4095U})
    for (const std::size_t size : {1U, 2U, 7U, 8U, 9U, 100U, 4095U})
      if (start + size <= still_.front().size) expect_same(gpa + start, size);
}

TEST_P(ReadContract, AcrossPages) {
  const MemoryRegion& region = still_.back();
  ASSERT_GE(region.size, 2 * kPageSize);
  expect_same(region.gpa + (kPageSize - 5), 10);
  expect_same(region.gpa + 1, 2 * kPageSize - 2);
}

TEST_P(ReadContract, AHoleIsAnErrorWithItsAddress) {
  ASSERT_FALSE(holes().empty()) << "not even behind the end";
  for (const Gpa hole : holes()) {
    std::vector<std::byte> bytes(16, std::byte{0xAB});
    const auto done = memory().read(hole, bytes);
    ASSERT_FALSE(done) << std::hex << to_integer(hole);
    EXPECT_EQ(done.error().code, Errc::hole);
    EXPECT_EQ(done.error().where, Place(hole));
    EXPECT_EQ(bytes, std::vector<std::byte>(16, std::byte{0xAB})) << "something was put there";
  }
}

TEST_P(ReadContract, FarAwayThereIsNothing) {
  for (const Gpa gpa : {end() + kPageSize, end() + (1ULL << 30), end() + (1ULL << 40),
                        Gpa{1ULL << 52}, Gpa{1ULL << 63}, Gpa{~0ULL - 63}}) {
    std::vector<std::byte> bytes(16);
    std::vector<ReadRequest> batch{{.gpa = gpa, .into = bytes}};
    memory().read(batch);
    EXPECT_EQ(batch[0].status, Errc::hole) << std::hex << to_integer(gpa);
    EXPECT_EQ(batch[0].failed_at, gpa);
    EXPECT_EQ(batch[0].done, 0U);
  }
}

TEST_P(ReadContract, TheLastByteAndTheOneBehindIt) {
  std::byte byte{};
  const Gpa last = end() + ~0ULL;
  EXPECT_TRUE(memory().read(last, std::span(&byte, 1)));
  EXPECT_EQ(byte, truth(last, 1)[0]);
  const auto behind = memory().read(end(), std::span(&byte, 1));
  ASSERT_FALSE(behind);
  EXPECT_EQ(behind.error().code, Errc::hole);
  EXPECT_EQ(behind.error().where, Place(end()));
}

TEST_P(ReadContract, AcrossTheEndOfARegion) {
  for (const Gpa hole : holes()) {
    const Gpa start = hole + ~7ULL;  // eight bytes before it
    std::vector<std::byte> bytes(24, std::byte{0xAB});
    std::vector<ReadRequest> batch{{.gpa = start, .into = bytes}};
    memory().read(batch);
    EXPECT_EQ(batch[0].status, Errc::hole);
    EXPECT_EQ(batch[0].failed_at, hole);
    EXPECT_EQ(batch[0].done, 8U);
    const auto before = truth(start, 8);
    EXPECT_TRUE(std::ranges::equal(before, std::span(bytes).first(8)));
    EXPECT_FALSE(memory().read(start, bytes));
  }
}

TEST_P(ReadContract, PaddingTellsHolesFromMemory) {
  const Gpa start = end() + ~7ULL;
  std::vector<std::byte> bytes(2 * kPageSize);
  const auto padded = memory().read_padded(start, bytes, std::byte{0xEE});
  ASSERT_TRUE(padded) << to_text(padded.error());
  EXPECT_EQ(*padded, bytes.size() - 8);
  EXPECT_TRUE(std::ranges::equal(truth(start, 8), std::span(bytes).first(8)));
  EXPECT_EQ(bytes[8], std::byte{0xEE});
  EXPECT_EQ(bytes.back(), std::byte{0xEE});
}

TEST_P(ReadContract, NothingIsReadAnywhere) {
  for (const Gpa gpa : {Gpa{0}, end(), Gpa{~0ULL}}) {
    EXPECT_TRUE(memory().read(gpa, std::span<std::byte>{})) << std::hex << to_integer(gpa);
    std::vector<ReadRequest> batch{{.gpa = gpa}};
    memory().read(batch);
    EXPECT_EQ(batch[0].status, Errc::none);
    EXPECT_EQ(batch[0].done, 0U);
  }
}

TEST_P(ReadContract, AroundTheEndOfTheAddressSpaceIsRefused) {
  std::vector<std::byte> bytes(16);
  std::vector<ReadRequest> batch{{.gpa = Gpa{~0ULL - 7}, .into = bytes}};
  memory().read(batch);
  EXPECT_EQ(batch[0].status, Errc::invalid_argument);
  EXPECT_EQ(batch[0].done, 0U);
}

// A page that may be written, and behind it one that may not: whoever writes too much dies.
class Guarded {
 public:
  Guarded()
      : base_(static_cast<std::byte*>(
            ::mmap(nullptr, 2 * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    ::mprotect(base_, kPageSize, PROT_READ | PROT_WRITE);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { ::munmap(base_, 2 * kPageSize); }
  [[nodiscard]] std::byte* page_end() const { return base_ + kPageSize; }

 private:
  std::byte* base_;
};

TEST_P(ReadContract, AnAbsurdLengthReadsWhatThereIs) {
  const Guarded guarded;
  constexpr std::size_t kAbsurd = 1ULL << 63;
  // Its buffer has room for what there is in front of the hole and for nothing more.
  std::vector<ReadRequest> batch{
      {.gpa = end() + ~7ULL, .into = {guarded.page_end() - 8, kAbsurd}},
      {.gpa = end(), .into = {guarded.page_end(), kAbsurd}},
      {.gpa = end(), .into = {guarded.page_end(), kAbsurd + kAbsurd / 2}}};
  memory().read(batch);
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, 8U);
  EXPECT_EQ(batch[0].failed_at, end());
  EXPECT_TRUE(std::ranges::equal(truth(end() + ~7ULL, 8), std::span(guarded.page_end() - 8, 8)));
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_EQ(batch[i].status, Errc::hole);
    EXPECT_EQ(batch[i].done, 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ReadContract, testing::ValuesIn(subjects()),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace microvmi::contract
