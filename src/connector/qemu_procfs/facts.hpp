// SPDX-License-Identifier: Apache-2.0
// What a QEMU process tells of its guest without being asked.
#pragma once

#include <vector>

#include "microvmi/driver.hpp"
#include "qemu/find.hpp"

namespace microvmi::qemu_procfs_connector {

// Machine, architecture, accelerator, memory backends, UUID, program; what is not known is left
// out.
[[nodiscard]] std::vector<Fact> facts_of(const qemu::QemuProcess& process);

}  // namespace microvmi::qemu_procfs_connector
