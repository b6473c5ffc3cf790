// SPDX-License-Identifier: Apache-2.0
// The one call of this connector to the operating system.
#pragma once

#include "host/linux/descriptor.hpp"

namespace microvmi::qemu_procfs_connector {

// Another descriptor of the same open file, closed by the programs that this one starts.
[[nodiscard]] Expected<host::Descriptor> duplicate(int fd);

}  // namespace microvmi::qemu_procfs_connector
