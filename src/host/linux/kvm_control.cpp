// SPDX-License-Identifier: Apache-2.0
// What is done with threads that were stopped where KVM_RUN ends.
#include "host/linux/kvm_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "host/linux/kvm_state.hpp"
#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

constexpr std::uint64_t kSyncNeeded = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;

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
