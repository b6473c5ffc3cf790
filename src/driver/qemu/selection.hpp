// SPDX-License-Identifier: Apache-2.0
// Which QEMU process the parameters mean.
#pragma once

#include "microvmi/init_params.hpp"
#include "qemu/find.hpp"

namespace microvmi::qemu_driver {

// qemu.*; the defaults where none is given.
[[nodiscard]] QemuInitParams own_params(const DriverInitParams& params);

// Whether memflow.kvm.* names this process too and allows injection: the kvm connector's way to
// model specific registers is then used here as well.
[[nodiscard]] bool may_inject(const DriverInitParams& params, std::uint32_t pid);

// From qemu.*, and from the common parameters where those say nothing.
[[nodiscard]] qemu::Wanted wanted_of(const DriverInitParams& params);

// Without a name or pid the first that can be read; it asks no monitor.
[[nodiscard]] Expected<qemu::QemuProcess> select(const DriverInitParams& params);

}  // namespace microvmi::qemu_driver
