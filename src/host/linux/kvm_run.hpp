// SPDX-License-Identifier: Apache-2.0
// KvmRunPage: the page that KVM shares with the thread of a vCPU, in another process.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <optional>

#include "host/linux/process.hpp"

namespace microvmi::host {

class KvmRunPage {
 public:
  KvmRunPage(const Process& process, std::uint64_t address)
      : process_(process), address_(address) {}
  KvmRunPage(const KvmRunPage&) = delete;
  KvmRunPage& operator=(const KvmRunPage&) = delete;
  ~KvmRunPage();  // asks for what was asked for before

  // Asks KVM to put its registers there whenever KVM_RUN ends.
  [[nodiscard]] Expected<void> ask();
  // Nothing where KVM_RUN has not ended since ask().
  [[nodiscard]] Expected<std::optional<kvm_sync_regs>> answer() const;

 private:
  const Process& process_;
  std::uint64_t address_;
  std::optional<std::uint64_t> before_;  // kvm_valid_regs, where we changed it
};

}  // namespace microvmi::host
