// SPDX-License-Identifier: Apache-2.0
// DIMMs and their like on the command line, at the addresses that QEMU gives them.
#pragma once

#include "qemu/layout.hpp"

namespace microvmi::qemu {

// Adds a block and an extent for each; `start` is where the board puts the first one, 0 where it
// takes none.
[[nodiscard]] Expected<void> add_memory_devices(const CommandLine& line, std::uint64_t start,
                                                GuestLayout& out);

}  // namespace microvmi::qemu
