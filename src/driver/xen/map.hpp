// SPDX-License-Identifier: Apache-2.0
// The memory map of a domain: which of its frames there are.
#pragma once

#include "driver/xen/guest.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::xen {

// HVM and PVH: the frames that Xen says have a page. PV: the machine frames in the guest's own
// table of them, for its page tables hold machine addresses. Where that cannot be read: a bound.
[[nodiscard]] Expected<MemoryMap> build_map(const Guest& guest);

}  // namespace microvmi::xen
