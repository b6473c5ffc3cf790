// SPDX-License-Identifier: Apache-2.0
// PageRights: what a guest may do to its pages, remembered so that it can be restored.
#pragma once

#include <map>

#include "driver/xen/events.hpp"

namespace microvmi::xen {

class PageRightsControl final : public PageAccessControl {
 public:
  PageRightsControl(const Guest& guest, Events& events) : guest_(guest), events_(events) {}

  Expected<Access> allowed(Gfn gfn, SlatView view) override;
  Expected<void> allow(std::span<const PageRights> pages, SlatView view) override;

  // All rights back; before the ring is given back, without which Xen takes no call.
  void close();

 private:
  const Guest& guest_;
  Events& events_;
  std::map<Gfn, std::uint8_t> before_{};  // of the pages that were changed
};

// Bits of Access and XENMEM_access_* (xen/memory.h): none, r, w, rw, x, rx, wx, rwx.
[[nodiscard]] std::uint8_t bits_of(const Access& access);
[[nodiscard]] Access access_of(std::uint8_t bits);

}  // namespace microvmi::xen
