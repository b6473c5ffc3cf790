// SPDX-License-Identifier: Apache-2.0
// PageIndex: which pages a dump has, and the how-manyth of them each is.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "connector/coredump/bytes.hpp"

namespace microvmi::coredump_connector {

class PageIndex {
 public:
  // A bit for each page, the lowest first, in `bytes` from `offset` on; `pages` bits count. More
  // than 2^32 pages are refused. One pass.
  [[nodiscard]] static Expected<PageIndex> read(const Bytes& bytes, const std::string& name,
                                                std::uint64_t offset, std::uint64_t pages,
                                                const Wait& wait);

  [[nodiscard]] bool has(std::uint64_t page) const {
    return page < pages_ && (words_[page / 64] >> page % 64 & 1) != 0;
  }
  // How many pages come before this one.
  [[nodiscard]] std::uint64_t rank(std::uint64_t page) const {
    if (page >= pages_) return total_;
    const std::uint64_t before = words_[page / 64] & ((std::uint64_t{1} << page % 64) - 1);
    return ranks_[page / 64] + static_cast<unsigned>(__builtin_popcountll(before));
  }
  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t pages() const { return pages_; }
  // Of pages that follow each other: as many regions as a map of them has.
  [[nodiscard]] std::uint64_t runs() const { return runs_; }

  // The first page from `page` on that is there (or is not); pages() where there is none.
  [[nodiscard]] std::uint64_t next(std::uint64_t page, bool present) const;

 private:
  std::vector<std::uint64_t> words_{};
  std::vector<std::uint32_t> ranks_{};  // of the first page of each word
  std::uint64_t pages_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t runs_ = 0;
};

}  // namespace microvmi::coredump_connector
