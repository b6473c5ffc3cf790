// SPDX-License-Identifier: Apache-2.0
// resolve() against the slow and obvious way, address by address.
#include "connector/coredump/extents.hpp"

#include <gtest/gtest.h>

#include <random>

namespace microvmi::coredump_connector {
namespace {

TEST(ExtentsTest, TheFirstThatCoversAnAddressHasIt) {
  std::mt19937 random(7);
  constexpr std::uint64_t kSpace = 64;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Extent> wanted(random() % 12);
    for (Extent& one : wanted) {
      one.gpa = random() % kSpace;
      one.size = 1 + random() % (kSpace / 2);
      one.offset = random() % 1000;
    }
    const auto resolved = resolve(wanted, {});
    ASSERT_TRUE(resolved);
    for (std::size_t i = 1; i < resolved->size(); ++i)
      ASSERT_LE((*resolved)[i - 1].end(), (*resolved)[i].gpa) << "round " << round;
    for (std::uint64_t at = 0; at < 2 * kSpace; ++at) {
      const auto first = std::ranges::find_if(
          wanted, [at](const Extent& one) { return at >= one.gpa && at < one.end(); });
      const Extent* found = find(*resolved, at);
      ASSERT_EQ(found != nullptr, first != wanted.end()) << "round " << round << " at " << at;
      if (found) {
        ASSERT_EQ(found->offset + at - found->gpa, first->offset + at - first->gpa);
      }
    }
  }
}

TEST(ExtentsTest, TimeIsUp) {
  const auto resolved =
      resolve({{.gpa = 0, .size = 1}}, Wait::at_most(std::chrono::milliseconds(0)));
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, Errc::timed_out);
}

}  // namespace
}  // namespace microvmi::coredump_connector
