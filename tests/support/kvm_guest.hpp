// SPDX-License-Identifier: Apache-2.0
// KvmGuest: the VMM of tests/support/kvm_vmm, started for one test and gone with it.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "microvmi/memory.hpp"
#include "support/qmp_truth.hpp"

// Ends the test where /dev/kvm cannot be used: skipped with the reason.
#define MICROVMI_NEEDS_KVM()                                                        \
  do {                                                                              \
    if (const std::string why_not = microvmi::test::why_no_kvm(); !why_not.empty()) \
      GTEST_SKIP() << why_not;                                                      \
  } while (false)

namespace microvmi::test {

[[nodiscard]] std::string why_no_kvm();  // empty where a virtual machine can be made
// What keeps a host from reading memory slots, too; empty where nothing does.
[[nodiscard]] std::string why_no_slots();

class KvmGuest {
 public:
  using Start = Outcome<std::unique_ptr<KvmGuest>>;

  // `args` as kvm_vmm takes them ("vcpus=4", "smm=1", "backing=memfd"). Its vCPUs run on return.
  [[nodiscard]] static Start start(std::vector<std::string> args = {});
  KvmGuest(const KvmGuest&) = delete;
  KvmGuest& operator=(const KvmGuest&) = delete;
  ~KvmGuest();

  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

  // What it said when it started: pid, vm_fd, slots, vcpus, ...; see kvm_vmm/program.cpp.
  [[nodiscard]] const nlohmann::json& truth() const { return truth_; }

  // A command of kvm_vmm and its answer; an error where it died or does not answer in 30 s.
  [[nodiscard]] Outcome<nlohmann::json> ask(const std::string& command) const;

  // RAM and ROM of the first address space as the VMM has it now, by address, touching ones joined.
  [[nodiscard]] Outcome<std::vector<MemoryRegion>> memory_map() const;
  // What the VMM itself reads there.
  [[nodiscard]] Outcome<std::vector<std::byte>> memory(std::uint64_t gpa, std::size_t size,
                                                       unsigned space = 0) const;
  // Whether every vCPU gets on, and none saw KVM_RUN interrupted or a register changed.
  [[nodiscard]] testing::AssertionResult undisturbed() const;

  void kill();

 private:
  KvmGuest(pid_t pid, int channel) : pid_(pid), channel_(channel) {}
  Outcome<void> receive() const;
  [[nodiscard]] Outcome<nlohmann::json> answer() const;

  pid_t pid_;
  int channel_;
  mutable std::string received_;  // and not yet taken
  nlohmann::json truth_;
};

}  // namespace microvmi::test
