// SPDX-License-Identifier: Apache-2.0
// The registers of a vCPU between the structures of KVM (linux/kvm.h, arch/x86/include/uapi/asm)
// and ours.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <vector>

#include "microvmi/error.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::host {

// Model specific registers that have a name of ours (Intel SDM vol. 4, table 2-2; AMD APM vol. 2,
// appendix A).
struct KvmMsr {
  std::uint32_t index;
  Reg reg;
};
[[nodiscard]] std::span<const KvmMsr> kvm_msrs();

void take(const kvm_regs& from, Registers& to);
void take(const kvm_sregs& from, Registers& to);
void take(const kvm_debugregs& from, Registers& to);
void take(const kvm_xcrs& from, Registers& to);

// Puts the known ones in and says whether there were any.
[[nodiscard]] bool put(const Registers& from, kvm_regs& to);
[[nodiscard]] bool put(const Registers& from, kvm_sregs& to);
[[nodiscard]] bool put(const Registers& from, kvm_debugregs& to);
[[nodiscard]] bool put(const Registers& from, kvm_xcrs& to);
[[nodiscard]] std::vector<kvm_msr_entry> msrs_of(const Registers& from);

// What KVM_GET_XSAVE returned. not_supported: its 4096 bytes are too few for that guest.
[[nodiscard]] Expected<void> check_xsave(std::int64_t returned);

}  // namespace microvmi::host
