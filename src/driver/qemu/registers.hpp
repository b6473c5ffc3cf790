// SPDX-License-Identifier: Apache-2.0
// DriverRegisters: what the monitor tells of a guest that runs, and what the gdb stub adds of one
// that stands still.
#pragma once

#include <memory>
#include <utility>

#include "driver/qemu/run_control.hpp"
#include "host/linux/kvm_control.hpp"

namespace microvmi::qemu_driver {

class DriverRegisters final : public RegisterAccess {
 public:
  // `msrs`: of what else is known of the vCPUs of a KVM guest that runs; may be null.
  DriverRegisters(MonitorAccess& monitors, Attachment& attachment, DriverRunControl& run_control,
                  std::unique_ptr<host::KvmControl> msrs)
      : monitors_(monitors),
        attachment_(attachment),
        run_control_(run_control),
        msrs_(std::move(msrs)) {}

  [[nodiscard]] Expected<Registers> read(VcpuId vcpu) override;
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> read_all() override;
  [[nodiscard]] Expected<void> write(VcpuId vcpu, const Registers& registers) override;

 private:
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> from_monitor();
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> from_stub();
  [[nodiscard]] Expected<void> add_stub(std::vector<VcpuRegisters>& known, qemu::GdbSession& stub);
  [[nodiscard]] Expected<void> add_msrs(std::vector<VcpuRegisters>& known);
  [[nodiscard]] Expected<std::vector<VcpuRegisters>> read_without_msrs();

  MonitorAccess& monitors_;
  Attachment& attachment_;
  DriverRunControl& run_control_;
  std::unique_ptr<host::KvmControl> msrs_;
};

}  // namespace microvmi::qemu_driver
