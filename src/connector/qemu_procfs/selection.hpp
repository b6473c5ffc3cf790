// SPDX-License-Identifier: Apache-2.0
// Which QEMU process the parameters mean.
#pragma once

#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"
#include "qemu/find.hpp"

namespace microvmi::qemu_procfs_connector {

// From memflow.qemu-procfs.*, and from the common parameters where those say nothing.
[[nodiscard]] qemu::Wanted wanted_of(const DriverInitParams& params);

// memflow.qemu-procfs.*; the defaults where none is given.
[[nodiscard]] QemuProcfsParams own_params(const DriverInitParams& params);

// Without a name or pid the first that can be read; it asks no monitor.
[[nodiscard]] Expected<qemu::QemuProcess> select(const qemu::Wanted& wanted);

}  // namespace microvmi::qemu_procfs_connector
