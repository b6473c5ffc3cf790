// SPDX-License-Identifier: Apache-2.0
// Finding the threads, stopping them where KVM_RUN ends, and what is done then.
#include "host/linux/kvm_control.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "host/linux/kvm_run.hpp"
#include "host/linux/kvm_state.hpp"
#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

constexpr std::uint64_t kSyncNeeded = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
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

Expected<std::unique_ptr<KvmControl>> KvmControl::open(std::uint32_t pid, std::uint64_t start_time,
                                                       bool inject) {
  auto process = Process::open(pid, start_time, Liveness::poll);
  if (!process) return std::unexpected(process.error());
  if (!process->writable())
    return fail(Errc::permission_denied, fmt::format("cannot write the memory of process {}", pid),
                {}, "run as root or grant CAP_SYS_PTRACE");
  const auto found = find_kvm_vcpus(*process);
  if (!found) return std::unexpected(found.error());
  const auto parts = kvm_sync_parts();
  if (!parts) return std::unexpected(parts.error());
  if ((*parts & kSyncNeeded) != kSyncNeeded)
    return fail(Errc::not_supported, "this kernel's KVM shares no registers (KVM_CAP_SYNC_REGS)",
                {}, "Linux 4.17 and later do");
  auto tracer = Tracer::start();
  if (!tracer) return std::unexpected(tracer.error());
  std::unique_ptr<KvmControl> out(new KvmControl(*std::move(process), *std::move(tracer), inject));
  for (const KvmVcpu& one : *found) out->vcpus_.push_back({.where = one});
  if (!inject) return out;
  const auto gadgets = find_gadgets(out->process_);
  if (!gadgets) return std::unexpected(gadgets.error());
  out->gadgets_ = *gadgets;
  auto msrs = kvm_known_msrs();
  if (!msrs) return std::unexpected(msrs.error());
  out->msrs_ = *std::move(msrs);
  return out;
}

KvmControl::~KvmControl() { release(); }

Expected<void> KvmControl::in_job(const std::function<Expected<void>()>& work) {
  Expected<void> result;
  tracer_->run([&] { result = work(); });
  // Whatever failed first, a process that has ended is the reason.
  if (!result && (result.error().code == Errc::disconnected || !process_.alive()))
    return std::unexpected(process_.gone());
  return result;
}

Expected<void> KvmControl::check(std::size_t vcpu) const {
  if (vcpu < vcpus_.size()) return {};
  return fail(Errc::not_found,
              fmt::format("there is no vCPU {}: the guest has {}", vcpu, vcpus_.size()),
              VcpuId{static_cast<std::uint32_t>(vcpu)});
}

bool KvmControl::held() const {
  return std::ranges::any_of(vcpus_, [](const Vcpu& one) { return one.held.has_value(); });
}

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

Expected<Registers> KvmControl::read(std::size_t vcpu, const Wait& wait) {
  if (auto good = check(vcpu); !good) return std::unexpected(good.error());
  Registers out;
  bool all = false;
  const auto shared = [&out](Stopped at) {
    take(at.vcpu.state.regs, out);
    take(at.vcpu.state.sregs, out);
  };
  const auto at_once = [&](Stopped at) -> Expected<void> {
    shared(at);
    all = !inject_;
    if (all || at.vcpu.held) return {};
    const auto rest = read_on_the_way(at, out, wait);
    if (!rest) return std::unexpected(rest.error());
    all = *rest;
    return {};
  };
  const auto one_by_one = [&](Stopped at) {
    shared(at);
    return read_rest(at, out, wait);
  };
  const auto done = in_job([&] {
    auto read = stopped(vcpu, wait, at_once);
    return !read || all ? read : stopped(vcpu, wait, one_by_one);
  });
  return done ? Expected<Registers>(out) : std::unexpected(done.error());
}

Expected<void> KvmControl::hold(const Wait& wait) {
  auto done = in_job([&]() -> Expected<void> {
    for (std::size_t i = 0; i < vcpus_.size(); ++i) {
      if (vcpus_[i].held) continue;
      const auto held = stopped(i, wait, [](Stopped at) -> Expected<void> {
        at.vcpu.held.emplace(std::move(*at.tracee));
        return {};
      });
      if (!held) return held;
    }
    tracer_->meanwhile([this] { look_after_held(); });
    return {};
  });
  if (!done) release();
  return done;
}

// Those that were killed have to be seen off, or their process could not end.
void KvmControl::look_after_held() {
  for (Vcpu& one : vcpus_)
    if (one.held) static_cast<void>(one.held->held());
}

void KvmControl::release() {
  tracer_->run([this] {
    tracer_->meanwhile({});
    for (Vcpu& one : vcpus_) one.held.reset();
  });
}

Expected<std::vector<std::uint32_t>> KvmControl::threads_to_watch() const {
  std::vector<std::uint32_t> out;
  for (const Vcpu& one : vcpus_)
    if (one.tid != 0) out.push_back(one.tid);
  return out.size() == vcpus_.size() ? out : vcpu_threads(process_);
}

Expected<bool> KvmControl::running() {
  if (!process_.alive()) return std::unexpected(process_.gone());
  if (held()) return false;
  constexpr int kLooks = 4;
  constexpr std::chrono::milliseconds kBetween{3};
  std::vector<TaskCall> first;
  for (int look = 0; look < kLooks; ++look) {
    if (look != 0) std::this_thread::sleep_for(kBetween);
    const auto threads = threads_to_watch();
    if (!threads) return std::unexpected(threads.error());
    std::vector<TaskCall> now;
    for (const std::uint32_t tid : *threads) {
      const auto call = task_call(process_, tid);
      if (!call || call->running || running_vcpu(process_, tid)) return true;
      now.push_back(*call);
    }
    if (look == 0) first = now;
    if (now != first) return true;
  }
  return false;
}

}  // namespace microvmi::host
