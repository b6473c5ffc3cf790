// SPDX-License-Identifier: Apache-2.0
// Requests cut where written pages begin and end.
#include "dump/overlay.hpp"

#include <algorithm>

namespace microvmi::dumper {

Expected<void> OverlayMemory::refresh() {
  return fail(Errc::not_supported, "the layout of a dump that is being written does not change");
}

OverlayMemory::Part OverlayMemory::front_of(Gpa gpa, std::uint64_t size) const {
  const auto after = std::ranges::upper_bound(written_, gpa, {}, &PageRange::gpa);
  if (after != written_.begin()) {
    const PageRange& before = *std::prev(after);
    const std::uint64_t into = gpa - before.gpa;
    if (into < before.size) return {std::min(size, before.size - into), true};
  }
  if (after == written_.end()) return {size, false};
  return {std::min<std::uint64_t>(size, after->gpa - gpa), false};
}

View OverlayMemory::view(Gpa gpa, std::size_t size) const {
  const Part part = front_of(gpa, size);
  if (part.size != size) return {};
  return part.written ? guest_.view(gpa, size) : image_.view(gpa, size);
}

void OverlayMemory::read_one(ReadRequest& request) const {
  while (request.done < request.into.size()) {
    const Gpa at = request.gpa + request.done;
    const Part part = front_of(at, request.into.size() - request.done);
    const std::span<std::byte> into = request.into.subspan(request.done, part.size);
    if (!part.written && image_.read(at, into)) {
      request.done += part.size;
      continue;
    }
    ReadRequest own{.gpa = at, .into = into};
    guest_.read({&own, 1});
    request.done += own.done;
    request.status = own.status;
    request.failed_at = own.failed_at;
    if (own.status != Errc::none) return;
  }
}

void OverlayMemory::read_batch(std::span<ReadRequest> batch) const {
  for (ReadRequest& request : batch) read_one(request);
}

}  // namespace microvmi::dumper
