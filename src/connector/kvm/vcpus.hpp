// SPDX-License-Identifier: Apache-2.0
// Vcpus: what can be done to the vCPU threads of a process that holds a VM.
#pragma once

#include <cstdint>
#include <memory>

#include "host/linux/process_memory.hpp"
#include "microvmi/connector/kvm.hpp"
#include "microvmi/driver.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::kvm_connector {

// The process, by pid and start time: a Vcpus holds it for itself.
struct VcpuTarget {
  std::uint32_t pid = 0;
  std::uint64_t start_time = 0;
  Intrusive intrusive = Intrusive::sync_regs;
};

// Lives as long as the Guest, whose memory it may use and which it does not outlive.
class Vcpus {
 public:
  // Not called for Intrusive::none. A failure fails no open: the guest then has memory alone, and
  // its facts say why. Touches no thread yet.
  [[nodiscard]] static Expected<std::unique_ptr<Vcpus>> open(const VcpuTarget& target,
                                                             host::ProcessMemory& memory);
  Vcpus(const Vcpus&) = delete;
  Vcpus& operator=(const Vcpus&) = delete;
  ~Vcpus();

  // Null where it cannot be done; constant for its life.
  [[nodiscard]] RunControl* run_control();
  [[nodiscard]] RegisterAccess* registers();
  [[nodiscard]] DirtyPages* dirty_pages();
  [[nodiscard]] XsaveAccess* xsave();

  [[nodiscard]] std::uint32_t count() const;

 private:
  struct Parts;
  explicit Vcpus(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace microvmi::kvm_connector
