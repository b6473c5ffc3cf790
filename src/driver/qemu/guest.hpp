// SPDX-License-Identifier: Apache-2.0
// Guest: an opened QEMU with everything that it lets be done.
#pragma once

#include <memory>

#include "driver/qemu/events.hpp"
#include "driver/qemu/registers.hpp"
#include "microvmi/driver/qemu.hpp"

namespace microvmi::qemu_driver {

class Guest final : public Driver {
 public:
  // With `inject` registers that no monitor tells come from ioctls that QEMU's threads are made to
  // make.
  [[nodiscard]] static Expected<std::unique_ptr<Driver>> open(const qemu::QemuProcess& process,
                                                              const QemuInitParams& params,
                                                              bool inject,
                                                              const InitOptions& options);

  PhysicalMemory& memory() override { return memory_->memory(); }
  GuestInfo info() const override { return info_; }
  // Where there is a monitor or a stub, busy or not.
  RunControl* run_control() override { return reachable_ ? &run_control_ : nullptr; }
  RegisterAccess* registers() override { return reachable_ && is_x86_ ? &registers_ : nullptr; }
  EventControl* events() override { return reachable_ && is_x86_ ? &events_ : nullptr; }

 private:
  Guest(std::unique_ptr<Driver> memory, const qemu::QemuProcess& process,
        std::vector<qemu::Monitor> monitors, AttachmentOptions options,
        std::unique_ptr<host::KvmControl> msrs);

  std::unique_ptr<Driver> memory_;  // of the connector
  GuestInfo info_;
  bool is_x86_;
  bool reachable_;
  MonitorAccess monitors_;
  Attachment attachment_;  // ends before the monitors
  DriverRunControl run_control_;
  DriverRegisters registers_;
  DriverEvents events_;
};

}  // namespace microvmi::qemu_driver
