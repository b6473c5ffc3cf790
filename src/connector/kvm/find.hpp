// SPDX-License-Identifier: Apache-2.0
// VmProcess: a process of this host that holds a virtual machine of KVM's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::kvm_connector {

struct VmProcess {
  std::uint32_t pid = 0;
  std::uint64_t start_time = 0;
  std::string program{};  // the file that runs, or what the thread calls itself
  std::optional<std::string> name = std::nullopt;  // the guest's, where the program is a QEMU
  std::uint32_t vcpus = 0;
};

// Ascending by pid. Only processes whose descriptors this one may see.
[[nodiscard]] Expected<std::vector<VmProcess>> find_vms();

// Errc::not_found where there is no such process, Errc::invalid_argument where it holds no VM.
[[nodiscard]] Expected<VmProcess> vm_of(std::uint32_t pid);

// "win10" or "firecracker"
[[nodiscard]] std::string name_of(const VmProcess& process);
// "pid 1234 (win10)"
[[nodiscard]] std::string to_text(const VmProcess& process);

}  // namespace microvmi::kvm_connector
