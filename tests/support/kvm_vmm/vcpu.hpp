// SPDX-License-Identifier: Apache-2.0
// Vcpu: a thread that does nothing but run its guest, and counts what disturbs it.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "support/kvm_vmm/machine.hpp"

namespace microvmi::kvm_vmm {

// Model specific registers (Intel SDM 4, table 2-2; AMD APM 2, appendix A).
struct Msr {
  const char* name;
  std::uint32_t index;
};
inline constexpr std::array<Msr, 6> kMsrs{{{"star", 0xC0000081},
                                           {"lstar", 0xC0000082},
                                           {"sfmask", 0xC0000084},
                                           {"kernel_gs_base", 0xC0000102},
                                           {"sysenter_cs", 0x174},
                                           {"sysenter_eip", 0x176}}};

// What the vCPU was given, or has while it is stopped.
struct State {
  kvm_regs regs{};
  kvm_sregs sregs{};
  std::array<std::array<std::uint8_t, 16>, 16> xmm{};
  std::array<std::uint64_t, kMsrs.size()> msrs{};
};

class Vcpu {
 public:
  Vcpu(Machine& machine, unsigned index);

  void start();
  // Out of KVM_RUN and waiting; then state() may be asked.
  void stop();
  void go();
  [[nodiscard]] State state() const;  // asked of KVM
  [[nodiscard]] const State& given() const { return given_; }

  [[nodiscard]] unsigned index() const { return index_; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::uint64_t run_address() const { return reinterpret_cast<std::uint64_t>(run_); }
  [[nodiscard]] std::uint64_t run_size() const { return run_size_; }
  [[nodiscard]] int tid() const { return tid_; }
  [[nodiscard]] std::uint64_t counter() const;

  // KVM_RUN that ended with EINTR or EAGAIN although nobody called stop().
  [[nodiscard]] std::uint64_t interrupted() const { return interrupted_; }
  [[nodiscard]] std::uint64_t exits() const { return exits_; }  // the guest's own: OUT to port 0x10
  // The guest saw a register of its own changed: OUT to port 0x11.
  [[nodiscard]] std::uint64_t corrupted() const { return corrupted_; }

 private:
  void give_state();
  void give_xmm();
  void run();
  void take_exit();
  void wait_while_stopped();

  Machine& machine_;
  unsigned index_;
  int fd_ = -1;
  kvm_run* run_ = nullptr;
  std::uint64_t run_size_ = 0;
  State given_;
  std::thread thread_;
  std::atomic<int> tid_{0};
  std::atomic<std::uint64_t> interrupted_{0};
  std::atomic<std::uint64_t> exits_{0};
  std::atomic<std::uint64_t> corrupted_{0};
  std::atomic<bool> stop_{false};
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace microvmi::kvm_vmm
