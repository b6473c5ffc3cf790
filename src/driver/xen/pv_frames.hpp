// SPDX-License-Identifier: Apache-2.0
// The machine frames of a PV guest, from the table that it keeps of them.
#pragma once

#include "driver/xen/guest.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::xen {

// Not exact where the guest has no table that can be read; `frames` bounds what is believed.
[[nodiscard]] Expected<MemoryMap> pv_map(const Guest& guest, std::uint64_t frames);

}  // namespace microvmi::xen
