// SPDX-License-Identifier: Apache-2.0
// Nothing is done to vCPUs yet.
#include "connector/kvm/vcpus.hpp"

namespace microvmi::kvm_connector {

Expected<std::unique_ptr<Vcpus>> Vcpus::open(const VcpuTarget&, PhysicalMemory&,
                                             const InitOptions&) {
  return fail(Errc::not_supported, "vCPUs of KVM guests are not in this build");
}

Vcpus::Vcpus() = default;
Vcpus::~Vcpus() = default;
RunControl* Vcpus::run_control() { return nullptr; }
RegisterAccess* Vcpus::registers() { return nullptr; }

}  // namespace microvmi::kvm_connector
