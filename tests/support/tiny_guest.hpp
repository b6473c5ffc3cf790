// SPDX-License-Identifier: Apache-2.0
// TinyGuest: QEMU with the guest of tests/guest/tiny in it, and what that guest says of itself.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/qemu_guest.hpp"

// Ends the test where the tiny guest cannot be booted, as MICROVMI_NEEDS_QEMU does.
#define MICROVMI_NEEDS_TINY_GUEST()                                                        \
  do {                                                                                     \
    MICROVMI_NEEDS_QEMU();                                                                 \
    if (const std::string why_not = microvmi::test::why_no_tiny_guest(); !why_not.empty()) \
      GTEST_SKIP() << why_not;                                                             \
  } while (false)

namespace microvmi::test {

[[nodiscard]] std::string why_no_tiny_guest();

using Page = std::array<std::byte, 4096>;

struct TinyRange {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t type = 0;  // 1: RAM
};

// Whole pages of which some are stamped.
struct TinyStamped {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t pages = 0;
  std::uint64_t sum = 0;  // of the stamped pages, as the guest read them back
};

struct TinyMapping {
  std::uint64_t gva = 0;
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
};

// What it printed up to "ready"; tests/guest/tiny/README.md tells of each.
struct TinyTruth {
  std::uint64_t seed = 0;
  std::uint64_t stride = 0;
  TinyRange image{};
  std::vector<TinyRange> map{};
  std::vector<TinyStamped> stamped{};
  std::uint64_t counter = 0;
  std::uint64_t text = 0;
  std::map<std::string, std::uint64_t> registers{};
  std::uint64_t loop_start = 0;
  std::uint64_t loop_end = 0;
  std::uint64_t hot_point = 0;   // the instruction that "hot" executes
  std::uint64_t hot_counts = 0;  // its counters, 64 bytes apart
  std::vector<TinyMapping> mappings{};
};

struct TinyOptions {
  std::uint64_t seed = 0x5EED;
  std::uint64_t stride = 16;
  std::chrono::milliseconds patience = std::chrono::seconds(40);
};

class TinyGuest {
 public:
  // Returns when the guest is ready.
  [[nodiscard]] static Outcome<std::unique_ptr<TinyGuest>> boot(QemuOptions options = {},
                                                                TinyOptions tiny = {});

  [[nodiscard]] QemuGuest& qemu() { return *qemu_; }
  [[nodiscard]] const TinyTruth& truth() const { return truth_; }

  // The pages of a range that the guest stamps, by the rule that its README gives.
  [[nodiscard]] std::vector<std::uint64_t> stamped_pages(const TinyStamped& range) const;
  [[nodiscard]] std::uint64_t word_at(std::uint64_t gpa) const;
  [[nodiscard]] Page page_at(std::uint64_t gpa) const;

  // Commands that the guest obeys; sizes and addresses are multiples of 8.
  [[nodiscard]] Outcome<TinyStamped> stamp(std::uint64_t gpa, std::uint64_t size);
  [[nodiscard]] Outcome<std::uint64_t> sum(std::uint64_t gpa, std::uint64_t size);
  [[nodiscard]] Outcome<std::uint64_t> peek(std::uint64_t gpa);

 private:
  TinyGuest(std::unique_ptr<QemuGuest> qemu, TinyOptions tiny)
      : qemu_(std::move(qemu)), tiny_(tiny) {}

  Outcome<std::vector<std::uint64_t>> ask(const std::string& command, std::uint64_t gpa,
                                          std::uint64_t size);

  std::unique_ptr<QemuGuest> qemu_;
  TinyOptions tiny_;
  TinyTruth truth_;
};

// The guest's own sum, over bytes that somebody else read.
class TinySum {
 public:
  void add(const void* bytes, std::size_t size);
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0;
};

}  // namespace microvmi::test
