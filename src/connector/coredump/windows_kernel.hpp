// SPDX-License-Identifier: Apache-2.0
// What a 64-bit Windows says of itself in its memory: KdDebuggerDataBlock, and from there on the
// CONTEXT that each processor saved when it was stopped, and after a crash its control registers,
// descriptor tables and the MSRs of system calls.
#pragma once

#include <optional>
#include <vector>

#include "connector/coredump/windows_header.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::coredump_connector {

struct WindowsKernel {
  std::optional<std::uint64_t> base = std::nullopt;
  std::vector<Registers> vcpus{};  // by number; of some there may be nothing
};

// Nothing where the block is encrypted, absent or not reached through the header's page tables.
[[nodiscard]] WindowsKernel look_at_windows(PhysicalMemory& memory, const WindowsHeader& header);

// The kernel's vCPUs, among them the header's, of which more is known. That one alone where none of
// the others is it.
[[nodiscard]] std::vector<Registers> merge_vcpus(std::vector<Registers> kernels,
                                                 const Registers& headers);

}  // namespace microvmi::coredump_connector
