// SPDX-License-Identifier: Apache-2.0
// Memory through KVMi: page by page on the wire, any range for the caller.
#include <algorithm>
#include <thread>

#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::IsEmpty;

constexpr std::uint64_t kHoleStart = 0xa0000, kHoleEnd = 0x100000, kHigh = 1ULL << 32;

class KvmSimulatedMemory : public EachDialect {
 protected:
  KvmSimulatedMemory() {
    line_.peer.poke(0x10000, low_);
    line_.peer.poke(kHigh, high_);
  }

  Bytes low_ = pattern(0x40000);
  Bytes high_ = pattern(0x100000, 1 << 20);
  OpenLine line_{KernelSetup{.dialect = GetParam()}};
};

TEST_P(KvmSimulatedMemory, AnyRangeIsRead) {
  ASSERT_TRUE(line_.vm);
  for (const auto& [start, size] : {std::pair<std::size_t, std::size_t>{0, 1},
                                    {0, 4096},
                                    {1, 4096},
                                    {4095, 2},
                                    {0xfff, 0x10002},
                                    {0, 0x40000}}) {
    std::vector<std::byte> bytes(size);
    const auto done = line_.memory().read(Gpa{0x10000 + start}, bytes);
    ASSERT_TRUE(done) << to_text(done.error());
    EXPECT_TRUE(
        std::ranges::equal(bytes, bytes_of({low_.begin() + static_cast<long>(start),
                                            low_.begin() + static_cast<long>(start + size)})))
        << start << " " << size;
  }
}

TEST_P(KvmSimulatedMemory, ReadsArePipelined) {
  ASSERT_TRUE(line_.vm);
  std::vector<std::byte> bytes(high_.size());
  ASSERT_TRUE(line_.memory().read(Gpa{kHigh}, bytes));
  EXPECT_EQ(bytes, bytes_of(high_));
  EXPECT_EQ(line_.peer.count(Cmd::read_physical), 256U);
  EXPECT_GT(line_.peer.look([](auto&, auto& record) { return record.most_in_flight; }), 4U);
}

TEST_P(KvmSimulatedMemory, AHoleIsToldWithItsFirstAddress) {
  ASSERT_TRUE(line_.vm);
  std::vector<std::byte> bytes(0x3000);
  const auto over = line_.memory().read(Gpa{kHoleStart - 0x1800}, bytes);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Errc::hole);
  EXPECT_EQ(std::get<Gpa>(over.error().where), Gpa{kHoleStart});
  std::vector<std::byte> front(0x1800);
  std::array batch{ReadRequest{.gpa = Gpa{kHoleStart - 0x1800}, .into = bytes},
                   ReadRequest{.gpa = Gpa{kHoleEnd}, .into = front},
                   ReadRequest{.gpa = Gpa{kHoleEnd - 1}, .into = std::span(bytes).first(2)},
                   ReadRequest{.gpa = Gpa{1ULL << 51}, .into = std::span(bytes).first(1)}};
  line_.memory().read(std::span(batch));
  EXPECT_EQ(batch[0].status, Errc::hole);
  EXPECT_EQ(batch[0].done, 0x1800U);
  EXPECT_EQ(batch[0].failed_at, Gpa{kHoleStart});
  EXPECT_EQ(batch[1].status, Errc::none);
  EXPECT_EQ(batch[1].done, 0x1800U);
  EXPECT_EQ(batch[2].status, Errc::hole);
  EXPECT_EQ(batch[2].done, 0U);
  EXPECT_EQ(batch[3].status, Errc::hole);
}

TEST_P(KvmSimulatedMemory, WritesCrossPagesAndStopAtHoles) {
  ASSERT_TRUE(line_.vm);
  const Bytes fresh = pattern(0x5003, 1 << 22);
  ASSERT_TRUE(line_.memory().write(Gpa{0x20ffd}, bytes_of(fresh)));
  EXPECT_EQ(line_.peer.peek(0x20ffd, fresh.size()), fresh);
  const Bytes around = line_.peer.peek(0x20ffc, 1);
  EXPECT_EQ(around[0], low_[0x10ffc]);
  const auto done = line_.memory().write(Gpa{kHoleStart - 0x10}, bytes_of(pattern(0x20)));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::hole);
  EXPECT_EQ(std::get<Gpa>(done.error().where), Gpa{kHoleStart});
}

TEST_P(KvmSimulatedMemory, SeveralThreadsReadAtOnce) {
  ASSERT_TRUE(line_.vm);
  const auto expected = bytes_of(low_);
  std::atomic<unsigned> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i != 4; ++i)
      threads.emplace_back([&, i] {
        std::vector<std::byte> bytes(0x3001 + i);
        for (unsigned turn = 0; turn != 20; ++turn) {
          const std::size_t start = (turn * 0x1234 + i) % 0x30000;
          const auto done = line_.memory().read(Gpa{0x10000 + start}, bytes);
          if (!done ||
              !std::equal(bytes.begin(), bytes.end(), expected.begin() + static_cast<long>(start)))
            ++wrong;
        }
      });
  }
  EXPECT_EQ(wrong, 0U);
}

MICROVMI_EACH_DIALECT(KvmSimulatedMemory);

TEST(KvmSimulatedMemoryTest, MemoryIsReadWhileQemuHasStoppedTheVm) {
  OpenLine line;
  ASSERT_TRUE(line.vm);
  line.peer.stop_vm(true);
  std::vector<std::byte> bytes(0x2000);
  EXPECT_TRUE(line.memory().read(Gpa{0x1000}, bytes));
  line.peer.stop_vm(false);
}

TEST(KvmSimulatedMemoryTest, ADeniedReadIsNoHole) {
  OpenLine line(KernelSetup{.refuse = {{Cmd::write_physical, kPerm}}});
  ASSERT_TRUE(line.vm);
  const auto done = line.memory().write(Gpa{0x1000}, bytes_of(pattern(8)));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::permission_denied) << to_text(done.error());
}

}  // namespace
}  // namespace microvmi::test::kvmi
