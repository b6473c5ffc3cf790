// SPDX-License-Identifier: Apache-2.0
// Asking for events, taking them, and making the kernel's switches what was asked for.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "driver/kvm/vcpus.hpp"

namespace microvmi::kvm {
namespace {

bool is_of_vm(const Intercept& what) {
  return std::holds_alternative<VcpuCreated::Filter>(what) ||
         std::holds_alternative<Detached::Filter>(what);
}

}  // namespace

Expected<void> Vcpus::check_supported(const Intercept& what) const {
  const auto wanted = switch_for(what);
  const Dialect dialect = abilities_.dialect;
  if (!wanted || !row(dialect, wanted->kind).known)
    return fail(Errc::not_supported, wanted ? fmt::format("KVMi {} has no {} events",
                                                          name_of(dialect), name_of(wanted->kind))
                                            : "KVMi has no such event");
  if (wanted->kind == EventKind::singlestep && !abilities_.singlestep)
    return fail(Errc::not_supported, "this kernel cannot make single steps", {},
                "it needs a CPU with the monitor trap flag, which few nested ones have");
  return {};
}

Switches Vcpus::desired(std::uint16_t vcpu) const {
  Switches out = asked_.of_vcpu(abilities_.dialect, vcpu);
  // Whichever vCPU runs into one of our breakpoints must not give it to the guest.
  if (patches_.any()) out.insert({EventKind::breakpoint});
  return out;
}

Switches Vcpus::desired_of_vm() const {
  Switches out;
  if (asked_.wants(0, {EventKind::unhook})) out.insert({EventKind::unhook});
  const bool created = asked_.wants(0, {EventKind::create_vcpu}) || asked_.any_for_every();
  if (created && row(abilities_.dialect, EventKind::create_vcpu).known)
    out.insert({EventKind::create_vcpu});
  return out;
}

// On: the event before its registers; off: the other way round, which is that of the set.
std::vector<Vcpus::Change> Vcpus::changes() const {
  std::vector<Change> out;
  const auto compare = [&out](std::uint16_t vcpu, const Switches& is, const Switches& wanted) {
    for (auto one = is.rbegin(); one != is.rend(); ++one)
      if (!wanted.contains(*one)) out.push_back({vcpu, *one, false});
    for (const Switch& one : wanted)
      if (!is.contains(one)) out.push_back({vcpu, one, true});
  };
  compare(0, vm_set_, desired_of_vm());
  for (std::uint32_t i = 0; i < count_; ++i) {
    const auto vcpu = static_cast<std::uint16_t>(i);
    const auto is = set_.find(vcpu);
    compare(vcpu, is == set_.end() ? Switches{} : is->second, desired(vcpu));
  }
  return out;
}

Expected<void> Vcpus::note(const Change& change, const Request& request,
                           std::optional<std::uint16_t> matters) {
  const bool of_vm = row(abilities_.dialect, change.one.kind).of_vm;
  Switches& is = of_vm ? vm_set_ : set_[change.vcpu];
  // What was not answered may yet be done: it is taken for set, so that it is undone.
  const bool may_be_set =
      change.on ? !request.answered || request.code == 0 : !request.answered || request.code != 0;
  if (may_be_set)
    is.insert(change.one);
  else
    is.erase(change.one);
  if (!request.answered || request.code == 0) return {};
  // Without the news of new vCPUs those that are there are intercepted all the same.
  const bool extra = change.one.kind == EventKind::create_vcpu && !asked_.wants(0, change.one);
  const bool later = request.code == -EAGAIN && change.vcpu != matters;
  postponed_ = postponed_ || (later && change.on);
  if (extra || later) return {};
  return std::unexpected(error_of(
      request.code, fmt::format("KVMi {} for {} events of vcpu {}", name_of(request.command),
                                name_of(change.one.kind), change.vcpu)));
}

Expected<void> Vcpus::apply(const Wait& wait, std::optional<std::uint16_t> matters) {
  std::vector<Change> all;
  std::vector<Request> requests;
  {
    const std::lock_guard lock(mutex_);
    postponed_ = false;
    all = changes();
    for (const Change& one : all)
      requests.push_back(request_for(abilities_.dialect, one.vcpu, one.one, one.on));
  }
  auto done = connection_->run(requests, wait);
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (auto noted = note(all[i], requests[i], matters); !noted && done) done = std::move(noted);
  return done;
}

Expected<void> Vcpus::intercept(VcpuId vcpu, const Intercept& what) {
  if (const auto* breakpoint = std::get_if<Breakpoint::Filter>(&what))
    return set_breakpoint(vcpu, *breakpoint);
  if (auto done = check_supported(what); !done) return done;
  const VcpuId target = is_of_vm(what) ? kEveryVcpu : vcpu;
  std::optional<std::uint16_t> matters;
  if (target != kEveryVcpu) {
    const auto index = index_of(target);
    if (!index) return std::unexpected(index.error());
    matters = *index;
  } else if (auto done = refresh_count(); !done) {
    return done;
  }
  {
    const std::lock_guard lock(mutex_);
    if (!asked_.add(target, what)) return {};
  }
  auto done = apply(answer_wait(), matters);
  if (done) return done;
  {
    const std::lock_guard lock(mutex_);
    asked_.remove(target, what);
  }
  static_cast<void>(apply(answer_wait()).has_value());
  return done;
}

Expected<void> Vcpus::release(VcpuId vcpu, const Intercept& what) {
  if (const auto* breakpoint = std::get_if<Breakpoint::Filter>(&what))
    return release_breakpoint(vcpu, *breakpoint);
  {
    const std::lock_guard lock(mutex_);
    if (!asked_.remove(is_of_vm(what) ? kEveryVcpu : vcpu, what))
      return fail(Errc::not_found, "this is not intercepted");
  }
  auto done = apply(answer_wait());
  const std::lock_guard lock(mutex_);
  answer_unwanted();
  if (!asked_.wants(0, {EventKind::unhook})) vm_events_.clear();
  return done;
}

bool Vcpus::all_taken() const {
  std::uint32_t taken = 0;
  for (const auto& [index, vcpu] : vcpus_)
    if (vcpu.waiting && vcpu.stage == Stage::taken) ++taken;
  return taken != 0 && taken >= count_;
}

// Null where there is nothing to be told yet.
std::optional<Expected<Event>> Vcpus::take_next() {
  const std::weak_ptr<ReplySink> sink = weak_from_this();
  const Dialect dialect = abilities_.dialect;
  if (!vm_events_.empty()) {
    const auto told = std::move(vm_events_.front());
    vm_events_.pop_front();
    if (auto event = public_event(dialect, told->message, sink, false)) return *std::move(event);
  }
  while (!queue_.empty()) {
    const std::uint16_t index = queue_.front();
    queue_.pop_front();
    Vcpu& vcpu = vcpus_[index];
    vcpu.stage = Stage::taken;
    if (auto event = public_event(dialect, vcpu.waiting->message, sink, vcpu.managed))
      return *std::move(event);
    answer(vcpu, Action::proceed);
  }
  if (end_) return std::unexpected(*end_);
  if (all_taken())
    return fail(Errc::busy, "every vcpu waits for the answer to an event that was taken");
  return std::nullopt;
}

Expected<Event> Vcpus::next(const Wait& wait) {
  std::unique_lock lock(mutex_);
  const bool postponed = postponed_;
  lock.unlock();
  if (postponed) static_cast<void>(apply(answer_wait()).has_value());
  lock.lock();
  for (;;) {
    if (auto found = take_next()) return *std::move(found);
    const bool woken = changed_.wait_until(lock, wait.stop, wait.deadline, [this] {
      return end_ || !queue_.empty() || !vm_events_.empty();
    });
    if (!woken) break;
  }
  const Errc over = wait.stop.stop_requested() ? Errc::cancelled : Errc::timed_out;
  return fail(over, over == Errc::cancelled ? "waiting for an event was cancelled"
                                            : "no event came in time");
}

}  // namespace microvmi::kvm
