// SPDX-License-Identifier: Apache-2.0
// CONTEXT: the registers that Windows saves of a vCPU (winnt.h of the SDK).
#pragma once

#include <span>

#include "microvmi/registers.hpp"

namespace microvmi::coredump_connector {

// Those whose group ContextFlags says is there; none where it is not of this machine.
[[nodiscard]] Registers windows_context64(std::span<const std::byte> context);
[[nodiscard]] Registers windows_context32(std::span<const std::byte> context);

}  // namespace microvmi::coredump_connector
