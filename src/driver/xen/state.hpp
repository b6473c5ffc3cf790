// SPDX-License-Identifier: Apache-2.0
// The state of a vCPU between Xen's structures and Registers.
#pragma once

#include "driver/xen/bytes.hpp"
#include "microvmi/error.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::xen {

// struct hvm_hw_cpu, the record of this code in the context of an HVM or PVH guest
// (xen/arch-x86/hvm/save.h).
inline constexpr std::uint16_t kHvmCpuCode = 2;
inline constexpr std::size_t kHvmCpuSize = 1032;

// Records of which the first number is a register, the APIC's base; or the second, XCR0.
inline constexpr std::uint16_t kHvmLapicCode = 5;
inline constexpr std::uint16_t kHvmXsaveCode = 16;
inline constexpr std::size_t kHvmLapicSize = 24;
inline constexpr std::size_t kHvmXsaveMost = 16384;  // a size that depends on the processor

// struct vcpu_guest_context of a 64-bit PV guest (xen/arch-x86/xen.h).
inline constexpr std::size_t kPvContextSize = 5168;

// struct vm_event_regs_x86 (xen/vm_event.h).
inline constexpr std::size_t kEventRegsSize = 344;

[[nodiscard]] Registers registers_of_hvm(ByteSpan record);
[[nodiscard]] Registers registers_of_pv(ByteSpan context);
[[nodiscard]] Registers registers_of_event(ByteSpan regs);

// Puts the known ones in; not_supported names the first that has no place there.
[[nodiscard]] Expected<void> change_hvm(std::span<std::byte> record, const Registers& wanted);
[[nodiscard]] Expected<void> change_pv(std::span<std::byte> context, const Registers& wanted);

// Only those that Xen takes from an answer: rax to r15, rip and rflags.
[[nodiscard]] bool fits_event(const Registers& wanted);
void change_event(std::span<std::byte> regs, const Registers& wanted);

// The record of one vCPU in a whole HVM context; empty where there is none.
[[nodiscard]] std::span<std::byte> hvm_record_in(std::span<std::byte> context, std::uint16_t code,
                                                 std::uint16_t instance);

}  // namespace microvmi::xen
