// SPDX-License-Identifier: Apache-2.0
// KvmControl: the vCPUs of another process's KVM guest, from outside.
//
// Registers come through the kvm_run page: it is told which registers it should hold, and a stop of
// the vCPU's thread ends KVM_RUN, which fills it. Nothing runs in that process for it. With
// injection the thread makes ioctls of KVM for us while it is stopped. Either way KVM_RUN begins
// again where it was, and its caller sees nothing. Threads that are not in KVM_RUN are left alone.
//
// Threads: one call at a time, from any.
#pragma once

#include <linux/kvm.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "host/linux/injection.hpp"
#include "host/linux/kvm_vcpus.hpp"
#include "host/linux/tasks.hpp"
#include "host/linux/tracee.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::host {

class KvmControl {
 public:
  // Touches nothing yet.
  [[nodiscard]] static Expected<std::unique_ptr<KvmControl>> open(std::uint32_t pid,
                                                                  std::uint64_t start_time,
                                                                  bool inject);
  KvmControl(const KvmControl&) = delete;
  KvmControl& operator=(const KvmControl&) = delete;
  ~KvmControl();  // what is held goes on

  // vCPUs are counted from 0 in the order of their ids.
  [[nodiscard]] std::size_t count() const { return vcpus_.size(); }
  [[nodiscard]] bool injects() const { return inject_; }

  // timed_out: its thread does not come into KVM_RUN.
  [[nodiscard]] Expected<Registers> read(std::size_t vcpu, const Wait& wait);
  // By injection alone.
  [[nodiscard]] Expected<void> write(std::size_t vcpu, const Registers& registers,
                                     const Wait& wait);
  // The first 4096 bytes of its XSAVE area, as KVM_GET_XSAVE has them. By injection alone.
  [[nodiscard]] Expected<std::vector<std::byte>> read_xsave(std::size_t vcpu, const Wait& wait);

  // All vCPUs, until release() or the end of this program.
  [[nodiscard]] Expected<void> hold(const Wait& wait);
  void release();
  // Whether the guest gets on, as far as its threads show: not while it is held or while the
  // process itself keeps all of them out of KVM_RUN.
  [[nodiscard]] Expected<bool> running();

  // A userfaultfd of that process's memory, which the process itself does not keep.
  [[nodiscard]] Expected<Descriptor> make_userfaultfd(const Wait& wait);

  [[nodiscard]] const Process& process() const { return process_; }

 private:
  struct Vcpu {
    KvmVcpu where{};
    std::uint32_t tid = 0;  // 0: not known yet
    std::optional<TaskCallFile> call{};
    Wait::Clock::time_point let_go{};
    std::optional<Tracee> held{};
    kvm_sync_regs state{};  // while it is held
  };
  // A vCPU that is stopped at the end of KVM_RUN; what it returned is in the Tracee.
  struct Stopped {
    Tracee* tracee;
    Vcpu& vcpu;
  };
  using Work = std::function<Expected<void>(Stopped)>;

  KvmControl(Process process, std::unique_ptr<Tracer> tracer, bool inject)
      : process_(std::move(process)), tracer_(std::move(tracer)), inject_(inject) {}

  // These run in jobs of the tracer.
  [[nodiscard]] Expected<void> stopped(std::size_t index, const Wait& wait, const Work& work);
  [[nodiscard]] std::optional<Expected<void>> stopped_once(Vcpu& vcpu, const Wait& wait,
                                                           const Work& work);
  [[nodiscard]] Expected<std::optional<Tracee>> try_to_stop(Vcpu& vcpu, const Wait& wait);
  [[nodiscard]] Expected<bool> identify(const Wait& wait);
  void take_place(std::uint32_t tid, int fd);
  [[nodiscard]] Expected<TaskCall> call_of(Vcpu& vcpu) const;
  [[nodiscard]] bool is_at_run(const Vcpu& vcpu, const Tracee& tracee) const;
  [[nodiscard]] Expected<void> read_rest(Stopped at, Registers& registers, const Wait& wait);
  // Lets the thread go; false where not all came.
  [[nodiscard]] Expected<bool> read_on_the_way(Stopped at, Registers& registers, const Wait& wait);
  [[nodiscard]] Expected<void> write_all(Stopped at, const Registers& registers, const Wait& wait);
  [[nodiscard]] Expected<Injection> injection(Stopped at);
  void look_after_held();

  [[nodiscard]] Expected<void> in_job(const std::function<Expected<void>()>& work);
  [[nodiscard]] Expected<void> check(std::size_t vcpu) const;
  [[nodiscard]] bool held() const;
  [[nodiscard]] Expected<std::vector<std::uint32_t>> threads_to_watch() const;

  Process process_;
  std::unique_ptr<Tracer> tracer_;
  bool inject_;
  std::vector<Vcpu> vcpus_;
  std::optional<Gadgets> gadgets_;
  std::vector<std::uint32_t> msrs_;  // that KVM here knows and the guest has, as far as is known
};

}  // namespace microvmi::host
