// SPDX-License-Identifier: Apache-2.0
// The bitmap is copied once, so that nothing of it changes under a reader, and counted on the way.
#include "connector/coredump/page_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kMostPages = (std::uint64_t{1} << 32) - 1;  // 16 TiB; ranks have 32 bits
constexpr std::uint64_t kWordsPerLook = 1 << 17;  // 1 MiB of bitmap, between looks at the clock

}  // namespace

Expected<PageIndex> PageIndex::read(const Bytes& bytes, const std::string& name,
                                    std::uint64_t offset, std::uint64_t pages, const Wait& wait) {
  if (pages > kMostPages)
    return fail(Errc::not_supported, fmt::format("{} has a bitmap of {} pages; {} at most are read",
                                                 name, pages, kMostPages));
  const std::uint64_t words = (pages + 63) / 64;
  PageIndex out;
  out.pages_ = pages;
  for (std::uint64_t done = 0; done < words; done = out.words_.size()) {
    if (const Errc over = wait.over(); over != Errc::none)
      return fail(over, "the bitmap of " + name + " was not read in time");
    const std::uint64_t some = std::min(words - done, kWordsPerLook);
    out.words_.resize(done + some);  // as the file proves to have them
    out.ranks_.resize(done + some);
    // The last word may lie half behind the end of the bitmap.
    const std::uint64_t size = std::min(some * 8, (pages + 7) / 8 - done * 8);
    if (!bytes.copy(offset + done * 8,
                    std::as_writable_bytes(std::span(out.words_).subspan(done)).first(size)))
      return fail(Errc::io, name + " is cut off within its bitmap");
    if (done + some == words && pages % 64 != 0)
      out.words_.back() &= (std::uint64_t{1} << pages % 64) - 1;
    for (std::uint64_t i = done; i < done + some; ++i) {
      out.ranks_[i] = static_cast<std::uint32_t>(out.total_);
      const std::uint64_t word = out.words_[i];
      const std::uint64_t before = word << 1 | (i == 0 ? 0 : out.words_[i - 1] >> 63);
      out.total_ += static_cast<unsigned>(std::popcount(word));
      out.runs_ += static_cast<unsigned>(std::popcount(word & ~before));
    }
  }
  return out;
}

std::uint64_t PageIndex::next(std::uint64_t page, bool present) const {
  const std::uint64_t flip = present ? 0 : ~std::uint64_t{0};
  while (page < pages_) {
    const std::uint64_t word = (words_[page / 64] ^ flip) >> page % 64;
    if (word != 0) return std::min(pages_, page + static_cast<unsigned>(std::countr_zero(word)));
    page = (page / 64 + 1) * 64;
  }
  return pages_;
}

}  // namespace microvmi::coredump_connector
