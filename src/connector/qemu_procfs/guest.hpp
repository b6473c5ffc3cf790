// SPDX-License-Identifier: Apache-2.0
// Guest: an opened QEMU process; its memory, and what else its monitor gives.
#pragma once

#include "host/linux/process_memory.hpp"
#include "microvmi/registry.hpp"
#include "qemu/layout_finder.hpp"
#include "qemu/run_control.hpp"

namespace microvmi::qemu_procfs_connector {

class Guest final : public Driver {
 public:
  [[nodiscard]] static Expected<std::unique_ptr<Driver>> open(const qemu::QemuProcess& process,
                                                              const QemuProcfsParams& params,
                                                              const InitOptions& options);

  PhysicalMemory& memory() override { return *memory_; }
  GuestInfo info() const override { return info_; }
  // Where a monitor answered when it was opened.
  RunControl* run_control() override { return run_control_.get(); }

 private:
  Guest(std::unique_ptr<host::ProcessMemory> memory, std::unique_ptr<RunControl> run_control,
        GuestInfo info)
      : memory_(std::move(memory)), run_control_(std::move(run_control)), info_(std::move(info)) {}

  std::unique_ptr<host::ProcessMemory> memory_;
  std::unique_ptr<RunControl> run_control_;
  GuestInfo info_;
};

}  // namespace microvmi::qemu_procfs_connector
