// SPDX-License-Identifier: Apache-2.0
// Registers of one vCPU from the structures that hypervisors and kernels leave in notes.
#pragma once

#include <optional>
#include <span>

#include "microvmi/registers.hpp"

namespace microvmi::coredump_connector {

// All of them: nullopt where the bytes are no such structure; what is not in them is unknown.

// QEMU's own note (target/i386/arch_dump.c, QEMUCPUState version 1).
[[nodiscard]] std::optional<Registers> qemu_registers(std::span<const std::byte> note);

// NT_PRSTATUS of Linux, of x86-64 or i386 by its size (linux/elfcore.h, asm/user_64.h, user_32.h).
[[nodiscard]] std::optional<Registers> prstatus_registers(std::span<const std::byte> note);

// VBCPU of VirtualBox (VBox/vmm/dbgfcorefmt.h, DBGFCORECPU).
[[nodiscard]] std::optional<Registers> virtualbox_registers(std::span<const std::byte> note);

// vcpu_guest_context of a 64-bit Xen (public/arch-x86/xen.h), which also has PV guests: of those
// the control registers hold machine addresses and are left unknown.
inline constexpr std::size_t kXenContextSize = 0x1430;
[[nodiscard]] std::optional<Registers> xen_registers(std::span<const std::byte> context,
                                                     bool is_hvm);

}  // namespace microvmi::coredump_connector
