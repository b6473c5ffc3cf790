// SPDX-License-Identifier: Apache-2.0
// VcpuState: registers of vCPUs, and exceptions that are put into them.
#pragma once

#include "driver/kvm/vcpus.hpp"

namespace microvmi::kvm {

class VcpuState final : public RegisterAccess, public Injection {
 public:
  VcpuState(Connection& connection, Vcpus& vcpus, std::chrono::milliseconds answer_time)
      : connection_(connection), vcpus_(vcpus), answer_time_(answer_time) {}

  Expected<Registers> read(VcpuId vcpu) override;
  Expected<void> write(VcpuId vcpu, const Registers& registers) override;
  Expected<void> inject(VcpuId vcpu, const Exception& exception) override;

 private:
  Expected<Registers> read_with(std::uint16_t vcpu, std::span<const std::uint32_t> msrs);
  Expected<void> find_msrs(std::uint16_t vcpu);
  Expected<void> write_waiting(std::uint16_t vcpu, const Registers& registers);
  [[nodiscard]] Wait answer_wait() const { return Wait::at_most(answer_time_); }

  Connection& connection_;
  Vcpus& vcpus_;
  std::chrono::milliseconds answer_time_;
  // Those that this kernel knows, as far as it was found out.
  std::vector<std::uint32_t> msrs_{register_msrs().begin(), register_msrs().end()};
};

}  // namespace microvmi::kvm
