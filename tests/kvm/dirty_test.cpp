// SPDX-License-Identifier: Apache-2.0
// Written pages against a guest of which it is known what it writes.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "host/linux/write_watch.hpp"
#include "kvm/machine.hpp"

namespace microvmi {
namespace {

constexpr std::uint64_t kCounters = 0x2000;  // where this machine's guest counts; nothing else

class KvmDirtyTest : public test::KvmMachineTest {
 protected:
  void begin(std::vector<std::string> args) {
    start(std::move(args));
    if (!guest_) return;
    if (host::has_soft_dirty())
      GTEST_SKIP() << "this kernel has soft-dirty bits, which tell more than was written since";
    if (!host::has_write_protection())
      GTEST_SKIP() << "this kernel has neither soft-dirty bits nor UFFD_FEATURE_WP_ASYNC";
    open(Intrusive::inject);
    ASSERT_TRUE(vm_);
    auto pages = vm_->dirty_pages();
    ASSERT_TRUE(pages) << to_text(pages.error());
    pages_ = *pages;
    const auto begun = pages_->begin();
    ASSERT_TRUE(begun) << to_text(begun.error());
  }

  std::set<std::uint64_t> taken() {
    const auto ranges = pages_->take();
    EXPECT_TRUE(ranges) << to_text(ranges.error());
    std::set<std::uint64_t> out;
    if (!ranges) return out;
    for (const PageRange& one : *ranges)
      for (std::uint64_t at = 0; at < one.size; at += kPageSize)
        out.insert(to_integer(one.gpa) + at);
    return out;
  }

  // After this the guest has written its counter since the last look.
  void let_it_count() { EXPECT_TRUE(guest_->undisturbed()); }

  [[nodiscard]] std::string of_process(const char* file) const {
    std::ifstream in("/proc/" + std::to_string(guest_->pid()) + "/" + file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Mappings that are write-protected by a userfaultfd: uw of VmFlags in proc_pid_smaps(5).
  [[nodiscard]] bool is_protected() const { return of_process("smaps").contains(" uw "); }
  [[nodiscard]] std::size_t descriptors() const {
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(guest_->pid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin_of(all), {}));
  }

  DirtyPages* pages_ = nullptr;

 private:
  static std::filesystem::directory_iterator begin_of(std::filesystem::directory_iterator it) {
    return it;
  }
};

using Pages = std::set<std::uint64_t>;

TEST_F(KvmDirtyTest, AreThoseThatTheGuestWrites) {
  begin({"vcpus=2"});
  if (!pages_) return;
  let_it_count();
  EXPECT_TRUE(taken().contains(kCounters));
  let_it_count();
  EXPECT_EQ(taken(), Pages{kCounters}) << "it writes nothing else";
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmDirtyTest, NoneOfAHeldGuestAndAllThatIsWrittenFromOutside) {
  begin({"vcpus=1", "backing=memfd"});
  if (!pages_) return;
  ASSERT_TRUE(vm_->pause());
  taken();
  EXPECT_EQ(taken(), Pages{});
  const std::uint64_t still = guest_->truth()["still"];
  for (const std::uint64_t page : {still, still + 5 * kPageSize, still + 6 * kPageSize})
    ASSERT_TRUE(vm_->memory().write_value(Gpa{page + 8}, std::uint8_t{1}));
  EXPECT_EQ(taken(), (Pages{still, still + 5 * kPageSize, still + 6 * kPageSize}));
  EXPECT_EQ(taken(), Pages{});
  ASSERT_TRUE(vm_->resume());
  let_it_count();
  EXPECT_EQ(taken(), Pages{kCounters});
}

TEST_F(KvmDirtyTest, MemoryThatIsMappedAnewCountsAsWritten) {
  begin({"vcpus=1"});
  if (!pages_) return;
  taken();
  const auto slots = ask("remap 9")["slots"];
  Pages expected{kCounters};
  for (const auto& slot : slots)
    if (slot["id"] == 9 && slot["space"] == 0)
      for (std::uint64_t at = 0; at < slot["size"].get<std::uint64_t>(); at += kPageSize)
        expected.insert(slot["gpa"].get<std::uint64_t>() + at);
  ASSERT_GT(expected.size(), 1U);
  let_it_count();
  const Pages all = taken();
  EXPECT_TRUE(std::ranges::includes(all, expected));
  Pages more;
  std::ranges::set_difference(all, expected, std::inserter(more, more.begin()));
  EXPECT_EQ(more, Pages{}) << slots.dump();
  let_it_count();
  EXPECT_EQ(taken(), Pages{kCounters});
}

TEST_F(KvmDirtyTest, EndsWithTheVmAndLeavesNothingBehind) {
  begin({"vcpus=1"});
  if (!pages_) return;
  EXPECT_EQ(pages_->begin().error().code, Errc::busy);
  EXPECT_TRUE(is_protected());
  const std::size_t open_files = descriptors();
  ASSERT_TRUE(pages_->end());
  EXPECT_FALSE(is_protected());
  EXPECT_EQ(pages_->take().error().code, Errc::busy);
  EXPECT_EQ(pages_->end().error().code, Errc::busy);
  ASSERT_TRUE(pages_->begin());
  EXPECT_TRUE(is_protected());
  vm_.reset();
  EXPECT_FALSE(is_protected());
  EXPECT_EQ(descriptors(), open_files);
  EXPECT_TRUE(guest_->undisturbed());
}

TEST_F(KvmDirtyTest, OfAVmmThatIsKilledAreAnError) {
  begin({"vcpus=1"});
  if (!pages_) return;
  guest_->kill();
  EXPECT_EQ(pages_->take().error().code, Errc::disconnected);
}

TEST_F(KvmDirtyTest, AreNotOfferedWithoutInjection) {
  start({"vcpus=1"});
  if (!guest_) return;
  if (host::has_soft_dirty()) GTEST_SKIP() << "this kernel has soft-dirty bits, which need none";
  open(Intrusive::sync_regs);
  ASSERT_TRUE(vm_);
  EXPECT_EQ(vm_->dirty_pages().error().code, Errc::not_supported);
}

}  // namespace
}  // namespace microvmi
