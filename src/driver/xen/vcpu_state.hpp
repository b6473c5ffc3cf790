// SPDX-License-Identifier: Apache-2.0
// VcpuState: the registers of a domain's vCPUs, and exceptions that are put into them.
#pragma once

#include "driver/xen/events.hpp"
#include "microvmi/control.hpp"

namespace microvmi::xen {

class VcpuState final : public RegisterAccess, public Injection, public ContextWriter {
 public:
  explicit VcpuState(const Guest& guest) : guest_(guest) {}

  Expected<Registers> read(VcpuId vcpu) override;
  Expected<std::vector<VcpuRegisters>> read_all() override;
  Expected<void> write(VcpuId vcpu, const Registers& registers) override;
  Expected<void> inject(VcpuId vcpu, const Exception& exception) override;
  Expected<void> write_context(std::uint32_t vcpu, const Registers& wanted) override;

  // What is written to a vCPU that waits for the answer to an event goes with the answer.
  void look_at(Events& events) { events_ = &events; }

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
  Events* events_ = nullptr;
};

}  // namespace microvmi::xen
