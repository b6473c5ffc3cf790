// SPDX-License-Identifier: Apache-2.0
// The state of a vCPU between KVM's structures and Registers.
#pragma once

#include <array>

#include "driver/kvm/codec.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::kvm {

// The MSRs that Registers has a place for, as get_registers is asked for them.
[[nodiscard]] std::span<const std::uint32_t> register_msrs();

// What an event tells.
[[nodiscard]] Registers registers_of(const EventMessage& event);

// What get_registers answered when it was asked for `msrs`, which are behind the fixed part.
[[nodiscard]] Expected<Registers> registers_of_answer(ByteSpan data,
                                                      std::span<const std::uint32_t> msrs);

// struct kvm_regs, which alone can be written.
using Regs = std::array<std::byte, kRegsSize>;
[[nodiscard]] Regs regs_of_answer(ByteSpan data);
void show(const Regs& regs, Registers& into);

// Puts the known ones into `regs`; invalid_argument names the first that has no place there.
[[nodiscard]] Expected<void> change(Regs& regs, const Registers& wanted);

}  // namespace microvmi::kvm
