// SPDX-License-Identifier: Apache-2.0
// A sweep over the starts of the extents, with the ones that are open in a heap by precedence.
#include "connector/coredump/extents.hpp"

#include <algorithm>
#include <queue>
#include <utility>

namespace microvmi::coredump_connector {
namespace {

constexpr std::size_t kStepsPerLook = 1 << 16;  // between two looks at the clock

void append(std::vector<Extent>& out, const Extent& next) {
  if (!out.empty()) {
    Extent& last = out.back();
    if (last.end() == next.gpa && last.offset + last.size == next.offset &&
        last.kind == next.kind) {
      last.size += next.size;
      return;
    }
  }
  out.push_back(next);
}

// An extent with its place in the list that came in.
struct Ranked {
  Extent extent;
  std::uint32_t rank;
};

struct ByRank {
  bool operator()(const Ranked* a, const Ranked* b) const { return a->rank > b->rank; }
};

std::vector<Ranked> sorted_by_start(const std::vector<Extent>& wanted) {
  std::vector<Ranked> out;
  out.reserve(wanted.size());
  for (const Extent& one : wanted) out.push_back({one, static_cast<std::uint32_t>(out.size())});
  std::ranges::sort(out, {}, [](const Ranked& one) { return std::pair(one.extent.gpa, one.rank); });
  return out;
}

}  // namespace

Expected<std::vector<Extent>> resolve(std::vector<Extent> wanted, const Wait& wait) {
  const std::vector<Ranked> all = sorted_by_start(wanted);
  wanted = {};
  std::vector<Extent> out;
  std::priority_queue<const Ranked*, std::vector<const Ranked*>, ByRank> open;
  auto next = all.begin();
  std::uint64_t at = 0;
  for (std::size_t step = 0; next != all.end() || !open.empty(); ++step) {
    if (step % kStepsPerLook == 0)
      if (const Errc over = wait.over(); over != Errc::none)
        return fail(over, "the image has too many segments to sort in the time given");
    if (open.empty()) at = std::max(at, next->extent.gpa);
    for (; next != all.end() && next->extent.gpa <= at; ++next) open.push(&*next);
    const Extent top = open.top()->extent;
    if (top.end() <= at) {
      open.pop();
      continue;
    }
    const std::uint64_t stop =
        next == all.end() ? top.end() : std::min(top.end(), next->extent.gpa);
    append(out, {at, stop - at, top.offset + (at - top.gpa), top.kind});
    at = stop;
  }
  return out;
}

const Extent* find(const std::vector<Extent>& extents, std::uint64_t gpa) {
  const auto after = std::ranges::upper_bound(extents, gpa, {}, &Extent::gpa);
  if (after == extents.begin()) return nullptr;
  const Extent& extent = *std::prev(after);
  return gpa - extent.gpa < extent.size ? &extent : nullptr;
}

MemoryMap map_of(const std::vector<Extent>& extents) {
  MemoryMap map;
  for (auto first = extents.begin(); first != extents.end();) {
    auto last = std::next(first);  // one past those that go on from each other in guest memory
    while (last != extents.end() && last->gpa == std::prev(last)->end() &&
           last->kind == first->kind)
      ++last;
    const std::uint64_t begin =
        first->gpa / kPageSize * kPageSize + (first->gpa % kPageSize != 0 ? kPageSize : 0);
    const std::uint64_t end = std::prev(last)->end() / kPageSize * kPageSize;
    if (begin < end && begin >= first->gpa)
      map.regions.push_back({Gpa{begin}, end - begin, first->kind});
    first = last;
  }
  return map;
}

std::uint64_t sum(const std::vector<Extent>& extents) {
  std::uint64_t total = 0;
  for (const Extent& extent : extents) total += extent.size;
  return total;
}

}  // namespace microvmi::coredump_connector
