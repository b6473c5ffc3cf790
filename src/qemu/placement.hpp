// SPDX-License-Identifier: Apache-2.0
// Which mappings of a QEMU process hold the RAM blocks of its guest.
//
// A block's mapping is known by what QEMU must have asked the kernel for: writable, not executable,
// exactly as big as the block, anonymous or of the right file. Never by being the biggest: that is
// TCG's buffer for generated code. Where several mappings could be one block, none is chosen.
#pragma once

#include <span>

#include "host/linux/maps.hpp"
#include "host/linux/snapshot.hpp"
#include "qemu/layout.hpp"

namespace microvmi::qemu {

// For each block the address of its mapping. Errc::not_found where one has none and
// Errc::not_supported where mappings compete; both say which, and what would help.
[[nodiscard]] Expected<std::vector<std::uint64_t>> find_blocks(std::span<const RamBlock> blocks,
                                                               std::span<const host::Mapping> maps);

// Layout and addresses, put together.
[[nodiscard]] host::Layout place(const GuestLayout& layout,
                                 std::span<const std::uint64_t> addresses);

// Whether KVM runs the vCPUs: each has a page of its own mapped.
[[nodiscard]] bool uses_kvm(std::span<const host::Mapping> maps);

}  // namespace microvmi::qemu
