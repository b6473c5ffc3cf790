// SPDX-License-Identifier: Apache-2.0
// A page is mapped when it is first read, and let go with the pause or for another one.
#include "driver/xen/kept_pages.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace microvmi::xen {

void KeptPages::begin() {
  drop();
  on_ = true;
}

void KeptPages::end() {
  on_ = false;
  drop();
}

void KeptPages::drop() {
  std::vector<Kept> gone;
  const std::lock_guard lock(mutex_);
  ++epoch_;
  gone.swap(kept_);
}

KeptPages::Page KeptPages::find(std::uint64_t frame, std::uint64_t& epoch) {
  const std::lock_guard lock(mutex_);
  epoch = epoch_;
  const auto found = std::ranges::find(kept_, frame, &Kept::frame);
  if (found == kept_.end()) return nullptr;
  std::rotate(found, found + 1, kept_.end());
  return kept_.back().page;
}

KeptPages::Page KeptPages::map(std::uint64_t frame) const {
  const std::array frames{frame};
  std::array errors{0};
  void* const page = guest_.xen().map(guest_.domid(), false, frames, errors);
  if (!page) return nullptr;
  Page out(static_cast<const std::byte*>(page),
           [&xen = guest_.xen(), page](const std::byte*) { xen.unmap(page, 1); });
  return errors[0] == 0 ? out : nullptr;
}

// Unless it was mapped before something that let all of them go.
void KeptPages::keep(Kept page, std::uint64_t epoch) {
  Page gone;
  const std::lock_guard lock(mutex_);
  if (!on_ || epoch != epoch_) return;
  const bool there = std::ranges::find(kept_, page.frame, &Kept::frame) != kept_.end();
  if (there) return;  // another thread was faster
  if (kept_.size() == kMost) {
    gone = std::move(kept_.front().page);
    kept_.erase(kept_.begin());
  }
  kept_.push_back(std::move(page));
}

// The domain is looked at behind the mapping: then it was the one that was opened when it was made.
// Any tool may let a paused domain run; what it finds out then is that nothing may be kept.
bool KeptPages::read(ReadRequest& request) {
  const std::size_t size = request.into.size();
  if (!on_ || size == 0 || size > kPageSize - page_offset(request.gpa)) return false;
  const std::uint64_t frame = to_integer(frame_of(request.gpa));
  if (frame >= kFrameLimit) return false;
  std::uint64_t epoch = 0;
  Page page = find(frame, epoch);
  const bool is_new = !page;
  if (is_new && !(page = map(frame))) return false;
  if (const auto now = guest_.look(); !now || !now->paused) {
    end();
    return false;
  }
  std::memcpy(request.into.data(), page.get() + page_offset(request.gpa), size);
  request.done = size;
  if (is_new) keep({frame, std::move(page)}, epoch);
  return true;
}

}  // namespace microvmi::xen
