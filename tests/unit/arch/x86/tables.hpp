// SPDX-License-Identifier: Apache-2.0
// Tables: page tables written word by word, as the manuals draw them.
#pragma once

#include <gtest/gtest.h>

#include "microvmi/address_space.hpp"
#include "support/fake_guest.hpp"

namespace microvmi::test {

// Flags of an entry; Intel SDM vol. 3A table 4-20 and its neighbours.
inline constexpr std::uint64_t kP = 1, kW = 2, kU = 4, kPs = 0x80, kG = 0x100;
inline constexpr std::uint64_t kNx = 1ULL << 63;
inline constexpr std::uint64_t kAll = kP | kW | kU;

// 16 pages of zeros from 0 on; what lies above is a hole.
class Tables : public testing::Test {
 protected:
  static constexpr std::uint64_t kEnd = 16 * kPageSize;

  Tables() { memory_.add(Gpa{0}, kEnd, std::byte{0}); }

  void put(std::uint64_t table, std::uint64_t index, std::uint64_t value) {
    ASSERT_TRUE(memory_.write_value(Gpa{table + index * 8}, value));
  }
  void put32(std::uint64_t table, std::uint64_t index, std::uint32_t value) {
    ASSERT_TRUE(memory_.write_value(Gpa{table + index * 4}, value));
  }

  // 4-level: cr3 0x1000 leads through 0x2000 and 0x3000 to the table at 0x4000, all of index 0.
  void put_four_levels() {
    put(0x1000, 0, 0x2000 | kAll);
    put(0x2000, 0, 0x3000 | kAll);
    put(0x3000, 0, 0x4000 | kAll);
  }

  [[nodiscard]] Expected<Translation> walk(const AddressSpace& space, std::uint64_t gva) const {
    return translate(memory_, space, Gva{gva});
  }

  // Its message has all of these.
  static void expect_failure(const Expected<Translation>& found, Errc code,
                             std::initializer_list<const char*> says) {
    ASSERT_FALSE(found) << std::hex << to_integer(found->gpa);
    EXPECT_EQ(name_of(found.error().code), std::string(name_of(code)));
    for (const char* text : says)
      EXPECT_NE(found.error().message.find(text), std::string::npos) << found.error().message;
  }

  FakeMemory memory_;
};

inline constexpr AddressSpace kFour{.cr3 = 0x1000};

}  // namespace microvmi::test
