// SPDX-License-Identifier: Apache-2.0
// Small sets with a lock each: neighbours lie in different ones, and threads seldom meet.
#include "connector/coredump/page_cache.hpp"

#include <algorithm>

namespace microvmi::coredump_connector {

PageCache::PageCache(std::size_t page_size, std::size_t most_bytes)
    : sets_(std::max<std::size_t>(1, most_bytes / page_size / kWays)) {}

bool PageCache::copy(std::uint64_t page, std::size_t offset, std::span<std::byte> into) const {
  Set& set = set_of(page);
  const std::lock_guard lock(set.mutex);
  for (std::size_t i = 0; i < kWays; ++i) {
    if (set.pages[i] != page || set.bytes[i].empty()) continue;
    std::ranges::copy(std::span(set.bytes[i]).subspan(offset, into.size()), into.begin());
    return true;
  }
  return false;
}

void PageCache::put(std::uint64_t page, std::span<const std::byte> bytes) const {
  Set& set = set_of(page);
  const std::lock_guard lock(set.mutex);
  // Another thread may have been faster: twice the same would take the place of another.
  for (std::size_t i = 0; i < kWays; ++i)
    if (set.pages[i] == page && !set.bytes[i].empty()) return;
  const std::size_t place = set.oldest++ % kWays;
  set.pages[place] = page;
  set.bytes[place].assign(bytes.begin(), bytes.end());
}

}  // namespace microvmi::coredump_connector
