// SPDX-License-Identifier: Apache-2.0
// One frame after the other, so that the error names the first that failed.
#include "driver/xen/page_rights.hpp"

#include <fmt/format.h>

namespace microvmi::xen {
namespace {

constexpr std::uint8_t kAll = 7;
constexpr std::uint8_t kChangesItself = 8;  // XENMEM_access_rx2rw and what follows

Expected<void> check_view(SlatView view) {
  if (view == kDefaultView) return {};
  return fail(Errc::not_supported, "this driver has one view of memory only");
}

Gpa place_of(Gfn gfn) { return Gpa{to_integer(gfn) * kPageSize}; }

}  // namespace

std::uint8_t bits_of(const Access& access) {
  return static_cast<std::uint8_t>((access.read ? 1 : 0) | (access.write ? 2 : 0) |
                                   (access.execute ? 4 : 0));
}

Access access_of(std::uint8_t bits) {
  if (bits >= kChangesItself) bits = kAll;  // whoever set that let everything through in the end
  return {.read = (bits & 1) != 0, .write = (bits & 2) != 0, .execute = (bits & 4) != 0};
}

Expected<Access> PageRightsControl::allowed(Gfn gfn, SlatView view) {
  if (auto done = check_view(view); !done) return std::unexpected(std::move(done.error()));
  if (auto done = events_.need_ring(); !done) return std::unexpected(std::move(done.error()));
  std::uint8_t bits = 0;
  if (const Errno error = guest_.xen().frame_access(guest_.domid(), to_integer(gfn), bits);
      error != 0)
    return guest_.failure(error, fmt::format("ask for the rights of frame {:#x}", to_integer(gfn)),
                          place_of(gfn));
  return access_of(bits);
}

Expected<void> PageRightsControl::allow(std::span<const PageRights> pages, SlatView view) {
  if (auto done = check_view(view); !done) return done;
  for (const PageRights& page : pages)
    if (page.allowed.write && !page.allowed.read)
      return fail(Errc::invalid_argument,
                  fmt::format("frame {:#x} cannot be written where it cannot be read",
                              to_integer(page.gfn)),
                  place_of(page.gfn), "take away the write too");
  for (const PageRights& page : pages) {
    const auto had = allowed(page.gfn, view);
    if (!had) return std::unexpected(had.error());
    const Errno error =
        guest_.xen().set_frame_access(guest_.domid(), to_integer(page.gfn), bits_of(page.allowed));
    if (error != 0)
      return guest_.failure(error,
                            fmt::format("change the rights of frame {:#x}", to_integer(page.gfn)),
                            place_of(page.gfn));
    before_.try_emplace(page.gfn, bits_of(*had));
  }
  return {};
}

void PageRightsControl::close() {
  for (const auto& [gfn, bits] : before_)
    static_cast<void>(guest_.xen().set_frame_access(guest_.domid(), to_integer(gfn), bits));
  before_.clear();
}

}  // namespace microvmi::xen
