// SPDX-License-Identifier: Apache-2.0
// Guest: an opened process that holds a VM; its memory, and its vCPUs where they may be touched.
#pragma once

#include "connector/kvm/find.hpp"
#include "connector/kvm/vcpus.hpp"
#include "host/linux/process_memory.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::kvm_connector {

class Guest final : public Driver {
 public:
  [[nodiscard]] static Expected<std::unique_ptr<Driver>> open(const VmProcess& process,
                                                              Intrusive intrusive,
                                                              const InitOptions& options);

  PhysicalMemory& memory() override { return *memory_; }
  GuestInfo info() const override { return info_; }
  RunControl* run_control() override { return vcpus_ ? vcpus_->run_control() : nullptr; }
  RegisterAccess* registers() override { return vcpus_ ? vcpus_->registers() : nullptr; }
  DirtyPages* dirty_pages() override { return vcpus_ ? vcpus_->dirty_pages() : nullptr; }
  XsaveAccess* xsave() override { return vcpus_ ? vcpus_->xsave() : nullptr; }

 private:
  Guest(std::unique_ptr<host::ProcessMemory> memory, std::unique_ptr<Vcpus> vcpus, GuestInfo info)
      : memory_(std::move(memory)), vcpus_(std::move(vcpus)), info_(std::move(info)) {}

  std::unique_ptr<host::ProcessMemory> memory_;
  std::unique_ptr<Vcpus> vcpus_;  // ends before the memory
  GuestInfo info_;
};

}  // namespace microvmi::kvm_connector
