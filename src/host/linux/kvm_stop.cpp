// SPDX-License-Identifier: Apache-2.0
// Finding the threads of the vCPUs, and stopping them where KVM_RUN ends.
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "host/linux/kvm_control.hpp"
#include "host/linux/kvm_run.hpp"
#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

// It may have been on its way into KVM_RUN; one that is busy is not kept from its work.
constexpr std::chrono::microseconds kShortestNap{20};
constexpr std::chrono::microseconds kLongestNap{200};
// What a thread that was let go needs to be back in its guest. Stopped on the way it is of no use,
// and its guest would not get on.
constexpr std::chrono::microseconds kWayIn{20};

std::int64_t run_fd(const Tracee& tracee) {
  const user_regs_struct& registers = tracee.registers();
  const bool runs =
      tracee.call() == SYS_ioctl && static_cast<std::uint32_t>(registers.rsi) == KVM_RUN;
  return runs ? static_cast<std::int32_t>(registers.rdi) : -1;
}

// A thread that another program holds shows no system call.
Expected<void> check_free(const Process& process) {
  const auto tasks = tasks_of(process);
  if (!tasks) return {};
  for (const std::uint32_t tid : *tasks) {
    const auto status = task_status(process, tid);
    if (status && status->tracer != 0)
      return fail(Errc::busy,
                  fmt::format("thread {} of process {} is traced by process {}", tid, process.pid(),
                              status->tracer),
                  {}, "end that debugger or other introspection program first");
  }
  return {};
}

void let_in(Wait::Clock::time_point let_go) {
  while (Wait::Clock::now() < let_go + kWayIn) {
  }
}

bool holds(const KvmVcpu& vcpu, std::int64_t fd) {
  return std::ranges::any_of(vcpu.fds, [fd](int one) { return one == fd; });
}

}  // namespace

void KvmControl::take_place(std::uint32_t tid, int fd) {
  for (Vcpu& one : vcpus_)
    if (holds(one.where, fd)) {
      one.tid = tid;
      one.call.reset();
    }
}

// A thread that waits in KVM_RUN shows it in /proc; one that runs the guest has to be stopped to be
// recognized.
Expected<bool> KvmControl::identify(const Wait& wait) {
  const auto threads = vcpu_threads(process_);
  if (!threads) return std::unexpected(threads.error());
  const auto is_known = [this](std::uint32_t tid) {
    return std::ranges::any_of(vcpus_, [tid](const Vcpu& one) { return one.tid == tid; });
  };
  const auto all_known = [this] {
    return std::ranges::all_of(vcpus_, [](const Vcpu& one) { return one.tid != 0; });
  };
  for (const std::uint32_t tid : *threads) {
    if (all_known()) return true;
    if (is_known(tid)) continue;
    if (const auto fd = running_vcpu(process_, tid)) {
      take_place(tid, *fd);
      continue;
    }
    const auto call = task_call(process_, tid);
    if (!call || !call->running) continue;
    const auto tracee = Tracee::stop({*tracer_, process_, tid}, wait);
    if (!tracee && tracee.error().code != Errc::disconnected)
      return std::unexpected(tracee.error());
    if (tracee)
      if (const std::int64_t fd = run_fd(*tracee); fd >= 0) take_place(tid, static_cast<int>(fd));
  }
  return all_known();
}

Expected<TaskCall> KvmControl::call_of(Vcpu& vcpu) const {
  if (!vcpu.call) {
    auto opened = TaskCallFile::open(process_, vcpu.tid);
    if (!opened) return std::unexpected(std::move(opened.error()));
    vcpu.call = *std::move(opened);
  }
  return vcpu.call->read();
}

bool KvmControl::is_at_run(const Vcpu& vcpu, const Tracee& tracee) const {
  return holds(vcpu.where, run_fd(tracee));
}

// Nothing where the thread was not in KVM_RUN, or not since it was told what we want.
Expected<std::optional<Tracee>> KvmControl::try_to_stop(Vcpu& vcpu, const Wait& wait) {
  if (vcpu.tid == 0) {
    const auto known = identify(wait);
    if (!known) return std::unexpected(known.error());
    if (vcpu.tid == 0) return std::nullopt;
  }
  const auto call = call_of(vcpu);
  if (!call) {
    vcpu.tid = 0;
    if (!process_.alive()) return std::unexpected(process_.gone());
    return std::nullopt;
  }
  const auto fd = call->running ? std::nullopt : running_vcpu(process_, vcpu.tid);
  if (!call->running && (!fd || !holds(vcpu.where, *fd))) return std::nullopt;
  KvmRunPage page(process_, vcpu.where.run);
  if (auto asked = page.ask(); !asked) return std::unexpected(asked.error());
  auto tracee = Tracee::stop({*tracer_, process_, vcpu.tid}, wait);
  if (!tracee) return std::unexpected(tracee.error());
  if (!is_at_run(vcpu, *tracee)) {
    if (run_fd(*tracee) >= 0) vcpu.tid = 0;  // it runs another vCPU now
    return std::nullopt;
  }
  const auto state = page.answer();
  if (!state) return std::unexpected(state.error());
  // One that ended for the VMM has something left to do for its guest.
  if (!*state || tracee->result() != -EINTR) return std::nullopt;
  vcpu.state = **state;
  return std::optional<Tracee>(*std::move(tracee));
}

// Whether it was stopped and the work done, whatever came of that.
std::optional<Expected<void>> KvmControl::stopped_once(Vcpu& vcpu, const Wait& wait,
                                                       const Work& work) {
  let_in(vcpu.let_go);
  auto tracee = try_to_stop(vcpu, wait);
  if (!tracee) return std::unexpected(std::move(tracee.error()));
  if (!*tracee) return std::nullopt;
  return work({&**tracee, vcpu});
}

Expected<void> KvmControl::stopped(std::size_t index, const Wait& wait, const Work& work) {
  Vcpu& vcpu = vcpus_[index];
  if (vcpu.held) {
    if (!vcpu.held->held()) return std::unexpected(process_.gone());
    return work({&*vcpu.held, vcpu});
  }
  for (auto nap = kShortestNap;; nap = std::min(2 * nap, kLongestNap)) {
    bool worked = false;
    const auto done = stopped_once(vcpu, wait, [&](Stopped at) {
      worked = true;
      return work(at);
    });
    vcpu.let_go = Wait::Clock::now();
    // Another program that traces it may be as quick as we are.
    const bool busy = !worked && done && !*done && done->error().code == Errc::busy;
    if (done && !busy) return *done;
    if (const Errc over = wait.over(); over != Errc::none) {
      if (busy) return *done;
      if (auto free = check_free(process_); !free) return free;
      return fail(over, fmt::format("the thread of vCPU {} does not come into KVM_RUN", index),
                  VcpuId{static_cast<std::uint32_t>(index)},
                  "the process itself may have stopped the guest");
    }
    tracer_->let_go_of_all();
    if (!process_.alive()) return std::unexpected(process_.gone());
    std::this_thread::sleep_for(nap);
  }
}

}  // namespace microvmi::host
