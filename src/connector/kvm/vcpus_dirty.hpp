// SPDX-License-Identifier: Apache-2.0
// Written pages of a guest, from those of the process that runs it.
#pragma once

#include <memory>

#include "host/linux/kvm_control.hpp"
#include "host/linux/process_memory.hpp"
#include "microvmi/control.hpp"

namespace microvmi::kvm_connector {

// Null where this kernel has neither way, or has one that takes injection and there is none. Lives
// no longer than the two.
[[nodiscard]] std::unique_ptr<DirtyPages> make_dirty_pages(host::KvmControl& control,
                                                           host::ProcessMemory& memory);

}  // namespace microvmi::kvm_connector
