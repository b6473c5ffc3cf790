// SPDX-License-Identifier: Apache-2.0
// PageCache: pages that were decompressed lately, for reads of a few bytes.
//
// Threads: from several at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace microvmi::coredump_connector {

class PageCache {
 public:
  // Never holds more than `most_bytes` of pages; takes memory as it fills.
  PageCache(std::size_t page_size, std::size_t most_bytes);

  // False where the page is not here.
  [[nodiscard]] bool copy(std::uint64_t page, std::size_t offset, std::span<std::byte> into) const;
  void put(std::uint64_t page, std::span<const std::byte> bytes) const;

 private:
  static constexpr std::size_t kWays = 8;
  struct Set {
    std::mutex mutex;
    std::array<std::uint64_t, kWays> pages{};
    std::array<std::vector<std::byte>, kWays> bytes{};  // empty where there is none yet
    std::size_t oldest = 0;
  };
  [[nodiscard]] Set& set_of(std::uint64_t page) const { return sets_[page % sets_.size()]; }

  mutable std::vector<Set> sets_;
};

}  // namespace microvmi::coredump_connector
