// SPDX-License-Identifier: Apache-2.0
// The tiny guest against QEMU: what the tests take for the truth must be true itself.
#include <gmock/gmock.h>

#include <iomanip>
#include <sstream>

#include "support/sizes.hpp"
#include "support/tiny_guest.hpp"

namespace microvmi::test {
namespace {

class TinyGuestTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    MICROVMI_NEEDS_TINY_GUEST();
    QemuOptions options{.machine = GetParam(), .memory = "128M"};
    if (options.machine == "isapc") options.args = {"-cpu", "qemu64"};
    auto guest = TinyGuest::boot(options);
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
  }

  std::unique_ptr<TinyGuest> guest_;
};

TEST_P(TinyGuestTest, PagesAreStampedAsItSays) {
  ASSERT_GE(guest_->truth().stamped.size(), 2U);
  for (const TinyStamped& range : guest_->truth().stamped) {
    const auto pages = guest_->stamped_pages(range);
    EXPECT_EQ(pages.size(), range.pages);
    const auto memory = guest_->qemu().memory(range.gpa, range.size);
    ASSERT_TRUE(memory) << memory.error();
    TinySum sum;
    for (const std::uint64_t gpa : pages) {
      const std::byte* found = memory->data() + (gpa - range.gpa);
      const Page expected = guest_->page_at(gpa);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), found)) << std::hex << gpa;
      sum.add(found, expected.size());
    }
    EXPECT_EQ(sum.value(), range.sum);
  }
}

TEST_P(TinyGuestTest, RegistersAreWhatItSays) {
  const auto& truth = guest_->truth();
  ASSERT_TRUE(guest_->qemu().stop());
  const auto text = guest_->qemu().truth().human("info registers");
  ASSERT_TRUE(text) << text.error();
  const auto word = [&](const char* name) {
    std::ostringstream out;
    out << std::hex << std::setw(16) << std::setfill('0') << truth.registers.at(name);
    return out.str();
  };
  EXPECT_THAT(*text, testing::HasSubstr("RBX=" + word("rbx")));
  EXPECT_THAT(*text, testing::HasSubstr("RSP=" + word("rsp")));
  EXPECT_THAT(*text, testing::HasSubstr("R15=" + word("r15")));
  EXPECT_THAT(*text, testing::HasSubstr("CR3=" + word("cr3")));
  EXPECT_THAT(*text, testing::HasSubstr("EFER=" + word("efer")));
  EXPECT_THAT(*text, testing::HasSubstr("FS =0010 " + word("fs_base")));
}

TEST_P(TinyGuestTest, ItGoesOnCountingAndObeys) {
  const std::uint64_t counter = guest_->truth().counter;
  const auto first = guest_->peek(counter);
  ASSERT_TRUE(first) << first.error();
  const auto second = guest_->peek(counter);
  ASSERT_TRUE(second) << second.error();
  EXPECT_GT(*second, *first);

  const auto stamped = guest_->stamp(64 * kMiB, 32 * 4096);
  ASSERT_TRUE(stamped) << stamped.error();
  EXPECT_EQ(stamped->pages, 3U);
  const auto sum = guest_->sum(64 * kMiB, 4096);
  ASSERT_TRUE(sum) << sum.error();
  TinySum expected;
  const Page page = guest_->page_at(64 * kMiB);
  expected.add(page.data(), page.size());
  EXPECT_EQ(*sum, expected.value());
}

INSTANTIATE_TEST_SUITE_P(Machines, TinyGuestTest, testing::Values("pc", "q35", "microvm", "isapc"),
                         [](const auto& one) { return std::string(one.param); });

TEST(TinyGuestAbove4GTest, StampsReachAcrossTheHole) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.machine = "q35", .memory = "5G"}, {.stride = 4099});
  ASSERT_TRUE(guest) << guest.error();
  const TinyStamped& high = (*guest)->truth().stamped.back();
  EXPECT_EQ(high.gpa, 4096 * kMiB);
  EXPECT_EQ(high.size, 3072 * kMiB) << "q35 keeps 2 GiB below 4 GiB";
  const std::uint64_t last = high.gpa + high.size - 4096;
  const auto memory = (*guest)->qemu().memory(last, 4096);
  ASSERT_TRUE(memory) << memory.error();
  EXPECT_TRUE(std::ranges::equal(*memory, (*guest)->page_at(last)));
}

}  // namespace
}  // namespace microvmi::test
