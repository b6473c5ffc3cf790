// SPDX-License-Identifier: Apache-2.0
// DriverRegisters: what the monitor tells of a guest that runs, and what the gdb stub adds of one
// that stands still.
#pragma once

#include "driver/qemu/run_control.hpp"

namespace microvmi::qemu_driver {

class DriverRegisters final : public RegisterAccess {
 public:
  DriverRegisters(MonitorAccess& monitors, Attachment& attachment, DriverRunControl& run_control)
      : monitors_(monitors), attachment_(attachment), run_control_(run_control) {}

  [[nodiscard]] Expected<Registers> read(VcpuId vcpu) override;
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> read_all() override;
  [[nodiscard]] Expected<void> write(VcpuId vcpu, const Registers& registers) override;

 private:
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> from_monitor();
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> from_stub();
  [[nodiscard]] Expected<void> add_stub(std::vector<VcpuRegisters>& known, qemu::GdbSession& stub);

  MonitorAccess& monitors_;
  Attachment& attachment_;
  DriverRunControl& run_control_;
};

}  // namespace microvmi::qemu_driver
