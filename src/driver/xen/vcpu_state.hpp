// SPDX-License-Identifier: Apache-2.0
// VcpuState: the registers of a domain's vCPUs.
#pragma once

#include "driver/xen/guest.hpp"
#include "microvmi/control.hpp"

namespace microvmi::xen {

class VcpuState final : public RegisterAccess {
 public:
  explicit VcpuState(const Guest& guest) : guest_(guest) {}

  Expected<Registers> read(VcpuId vcpu) override;
  Expected<std::vector<VcpuRegisters>> read_all() override;
  Expected<void> write(VcpuId vcpu, const Registers& registers) override;

 private:
  // not_found: there is no such vCPU, or it is offline.
  Expected<void> check(VcpuId vcpu);
  Expected<Registers> read_hvm(std::uint32_t vcpu);
  void read_rest(std::uint32_t vcpu, Registers& into);
  Expected<Registers> read_pv(std::uint32_t vcpu);
  Expected<void> write_hvm(std::uint32_t vcpu, const Registers& wanted);
  Expected<void> write_pv(std::uint32_t vcpu, const Registers& wanted);
  Expected<void> check_width();

  const Guest& guest_;
};

}  // namespace microvmi::xen
