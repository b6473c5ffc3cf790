// SPDX-License-Identifier: Apache-2.0
// Finding the vCPUs of a process that runs a KVM guest: descriptors, kvm_run pages, threads.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "host/linux/process.hpp"

namespace microvmi::host {

struct KvmVcpu {
  std::uint32_t id = 0;    // of KVM: the 1 of "anon_inode:kvm-vcpu:1"
  std::vector<int> fds{};  // one, or several of the same file
  std::uint64_t run = 0;   // where the process has its kvm_run page
};

// By id. not_found: it has none. not_supported: the vCPUs of two guests, or some whose kvm_run page
// the process has not mapped, or a guest whose registers are encrypted.
[[nodiscard]] Expected<std::vector<KvmVcpu>> find_kvm_vcpus(const Process& process);

// The parts of the kvm_run page that this host's KVM fills on request (KVM_CAP_SYNC_REGS), as bits
// KVM_SYNC_X86_...; an error where /dev/kvm cannot be asked.
[[nodiscard]] Expected<std::uint64_t> kvm_sync_parts();
// Those of kvm_msrs() that this host's KVM has.
[[nodiscard]] Expected<std::vector<std::uint32_t>> kvm_known_msrs();

// The descriptor of the vCPU that this thread, seen from /proc, is running or waiting in.
[[nodiscard]] std::optional<int> running_vcpu(const Process& process, std::uint32_t tid);

// Threads that may be running a vCPU: those that wait in KVM_RUN, then those that have run a guest
// or have a name for it, then those that run at all, for some hosts count no time of guests.
// Threads of the kernel's own within the process are left out.
[[nodiscard]] Expected<std::vector<std::uint32_t>> vcpu_threads(const Process& process);

}  // namespace microvmi::host
