// SPDX-License-Identifier: Apache-2.0
// guarded_copy: memcpy from a mapped file that may become shorter under it.
//
// A load past the end of a shortened file raises SIGBUS. The guard is of the calling thread and of
// the bytes being copied alone: every other SIGBUS goes to the handler that the program had when
// the guard was first used, or ends the program as it would have. A handler that is installed
// later replaces the guard, and then has these faults too: install it before opening a guest.
#pragma once

#include <cstddef>

namespace microvmi::host {

// How many bytes from the start were copied: `size`, or fewer where the file ended. What lies in
// `to` behind them is unspecified.
[[nodiscard]] std::size_t guarded_copy(void* to, const void* from, std::size_t size);

// Puts the handler in place; guarded_copy() needs it done once before. MappedFile and
// ProcessMemory do it.
void install_copy_guard();

}  // namespace microvmi::host
