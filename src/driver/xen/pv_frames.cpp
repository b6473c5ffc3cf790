// SPDX-License-Identifier: Apache-2.0
// struct arch_shared_info (xen/arch-x86/xen.h) tells where the table is: as a linear list in an
// address space of the guest, or as a tree of frames.
#include "driver/xen/pv_frames.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "driver/xen/bytes.hpp"
#include "driver/xen/regions.hpp"

namespace microvmi::xen {
namespace {

// Of a 64-bit guest: offsetof(struct shared_info, arch), and the places in there.
constexpr std::size_t kArch = 3088;
constexpr std::size_t kMaxPfn = kArch;
constexpr std::size_t kListOfLists = kArch + 8;
constexpr std::size_t kTableCr3 = kArch + 24;
constexpr std::size_t kTableAddress = kArch + 32;

constexpr std::uint64_t kFramesPerPage = kPageSize / 8;
constexpr std::uint64_t kFrameBits = 0x000ffffffffff000;  // of a page-table entry
constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 1 << 7;

// The list is the guest's, and must not keep us busy or fill our memory. Its length: what Xen lets
// the guest have, holes as large, and those below 4 GiB that it may have taken over from the host.
constexpr std::uint64_t kMostPfn = 1ULL << 32;  // 16 TiB, more than any PV guest has
constexpr std::uint64_t kHolesBelow4G = 1ULL << 20;
std::uint64_t most_pfns(const Domain& domain) {
  return std::min(kMostPfn, 2 * std::min(kMostPfn, domain.most_pages) + kHolesBelow4G);
}

// What it names: as many pages as it has, and some that come or go meanwhile.
std::uint64_t most_named(const Domain& domain) {
  constexpr std::uint64_t kMore = 1ULL << 16;
  return std::min(kMostPfn, domain.pages) * 2 + kMore;
}

class Table {
 public:
  explicit Table(const Guest& guest) : guest_(guest) {}

  bool start(const Domain& domain) {
    Page page{};
    if (!read(domain.shared_info_frame, page)) return false;
    max_pfn_ = load(page, kMaxPfn, 8);
    cr3_ = load(page, kTableCr3, 8);
    address_ = load(page, kTableAddress, 8);
    const std::uint64_t lists = load(page, kListOfLists, 8);
    if (max_pfn_ == 0 || max_pfn_ > most_pfns(domain)) return false;
    if (cr3_ != 0) return true;
    return lists != 0 && lists != ~0ULL && read(lists, lists_);
  }

  // Every machine frame that the guest has; others that it names are not its own. False where it
  // names more than `most`.
  bool collect(Runs& into, std::uint64_t frames, std::uint64_t most) {
    Page page{};
    for (std::uint64_t i = 0; i * kFramesPerPage < max_pfn_; ++i) {
      const auto holder = cr3_ != 0 ? linear(i) : listed(i);
      if (!holder || !read(*holder, page)) continue;
      const std::uint64_t left = max_pfn_ - i * kFramesPerPage;
      for (std::uint64_t k = 0; k < std::min(kFramesPerPage, left); ++k) {
        const std::uint64_t frame = load(page, k * 8, 8);
        if (frame >= frames) continue;
        if (most-- == 0) return false;
        add_frame(into, frame);
      }
    }
    return true;
  }

 private:
  using Page = std::array<std::byte, kPageSize>;

  bool read(std::uint64_t frame, Page& into) {
    int error = 0;
    void* const page =
        guest_.xen().map(guest_.domid(), false, std::span(&frame, 1), std::span(&error, 1));
    if (!page) return false;
    if (error == 0) std::memcpy(into.data(), page, into.size());
    guest_.xen().unmap(page, 1);
    return error == 0;
  }

  // The frame of the list's page, through the guest's page tables; each level is kept.
  std::optional<std::uint64_t> linear(std::uint64_t index) {
    const std::uint64_t gva = address_ + index * kPageSize;
    std::uint64_t table = cr3_ / kPageSize;
    for (unsigned level = 0; level < kLevels; ++level) {
      Kept& kept = kept_[level];
      if (kept.frame != table && !read(table, kept.page)) return std::nullopt;
      kept.frame = table;
      const unsigned shift = 39 - 9 * level;
      const std::uint64_t entry = load(kept.page, (gva >> shift & 511) * 8, 8);
      if ((entry & kPresent) == 0) return std::nullopt;
      table = (entry & kFrameBits) / kPageSize;
      if (level != 0 && level != kLevels - 1 && (entry & kLarge) != 0)
        return table + (gva >> 12 & ((1ULL << (shift - 12)) - 1));
    }
    return table;
  }

  std::optional<std::uint64_t> listed(std::uint64_t index) {
    const std::uint64_t list = load(lists_, index / kFramesPerPage * 8, 8);
    if (index / kFramesPerPage >= kFramesPerPage) return std::nullopt;
    if (kept_[0].frame != list && !read(list, kept_[0].page)) return std::nullopt;
    kept_[0].frame = list;
    return load(kept_[0].page, index % kFramesPerPage * 8, 8);
  }

  static constexpr unsigned kLevels = 4;
  struct Kept {
    std::uint64_t frame = ~0ULL;
    Page page{};
  };

  const Guest& guest_;
  std::uint64_t max_pfn_ = 0;
  std::uint64_t cr3_ = 0;
  std::uint64_t address_ = 0;
  Page lists_{};
  std::array<Kept, kLevels> kept_{};
};

}  // namespace

Expected<MemoryMap> pv_map(const Guest& guest, std::uint64_t frames) {
  const auto now = guest.look();
  if (!now) return std::unexpected(now.error());
  const auto table = std::make_unique<Table>(guest);
  Runs runs;
  // A guest that has just started has filled in nothing yet.
  if (!table->start(*now) || !table->collect(runs, frames, most_named(*now))) runs.clear();
  return MemoryMap{.regions = regions_of(std::move(runs)), .exact = true};
}

}  // namespace microvmi::xen
