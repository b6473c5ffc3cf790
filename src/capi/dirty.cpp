// SPDX-License-Identifier: Apache-2.0
// The C API: pages that are written.
#include <algorithm>
#include <iterator>

#include "capi/handle.hpp"

namespace {

using microvmi::PageRange;
using microvmi::capi::done;
using microvmi::capi::failed;

// What was left from the last time may be in what came since: sorted, and each page once.
void add(std::vector<PageRange>& untold, std::vector<PageRange> taken) {
  if (untold.empty()) return untold.swap(taken);
  std::ranges::move(taken, std::back_inserter(untold));
  std::ranges::sort(untold, {}, &PageRange::gpa);
  auto last = untold.begin();
  for (auto one = last + 1; one != untold.end(); ++one) {
    const std::uint64_t end = to_integer(last->gpa) + last->size;
    if (to_integer(one->gpa) > end)
      *++last = *one;
    else
      last->size = std::max(end, to_integer(one->gpa) + one->size) - to_integer(last->gpa);
  }
  untold.erase(last + 1, untold.end());
}

}  // namespace

int mvmi_dirty_begin(mvmi_vm* vm, mvmi_error** error) {
  if (!vm) return failed(error, "the vm is NULL");
  const auto pages = vm->vm.dirty_pages();
  if (!pages) return failed(error, pages.error());
  vm->untold.clear();
  return done((*pages)->begin(), error);
}

int mvmi_dirty_take(mvmi_vm* vm, mvmi_range* ranges, size_t capacity, size_t* count,
                    mvmi_error** error) {
  if (!vm) return failed(error, "the vm is NULL");
  if (!count || (!ranges && capacity != 0)) return failed(error, "an argument is NULL");
  const auto pages = vm->vm.dirty_pages();
  if (!pages) return failed(error, pages.error());
  auto taken = (*pages)->take();
  if (!taken) return failed(error, taken.error());
  auto& untold = vm->untold;
  add(untold, *std::move(taken));
  *count = untold.size();
  const std::size_t fits = std::min(capacity, untold.size());
  for (std::size_t i = 0; i < fits; ++i) ranges[i] = {to_integer(untold[i].gpa), untold[i].size};
  if (fits == untold.size())
    untold.clear();
  else
    untold.erase(untold.begin(), untold.begin() + static_cast<std::ptrdiff_t>(fits));
  return 1;
}

int mvmi_dirty_end(mvmi_vm* vm, mvmi_error** error) {
  if (!vm) return failed(error, "the vm is NULL");
  const auto pages = vm->vm.dirty_pages();
  if (!pages) return failed(error, pages.error());
  vm->untold.clear();
  return done((*pages)->end(), error);
}
