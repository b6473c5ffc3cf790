// SPDX-License-Identifier: Apache-2.0
// Events as they come, and what becomes of those that nobody asked for.
#include "driver/kvm/vcpus.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace microvmi::kvm {
namespace {

// More than KVM allows on x86 (KVM_MAX_VCPUS), so that a number cannot make us hold much.
constexpr std::uint16_t kVcpuNumbers = 4096;

std::unexpected<Error> wrong_event(const std::string& what) {
  return fail(Errc::protocol, "KVMi: " + what);
}

}  // namespace

void Vcpus::attach(Connection& connection, const Abilities& abilities) {
  const std::lock_guard lock(mutex_);
  connection_ = &connection;
  abilities_ = abilities;
  count_ = abilities.vcpus;
}

void Vcpus::on_end(const Error& error) {
  const std::lock_guard lock(mutex_);
  end_ = error;
  changed_.notify_all();
}

Expected<void> Vcpus::on_event(std::unique_ptr<ToldEvent> told) {
  const std::lock_guard lock(mutex_);
  const EventMessage& message = told->message;
  if (closed_) return {};  // the kernel lets go whatever waits when the connection ends
  if (!connection_) return wrong_event("an event that was not asked for");
  if (message.kind == EventKind::cmd_error) return {};
  if (message.kind == EventKind::unhook) {
    // Told once on a connection.
    if (asked_.wants(0, {EventKind::unhook}) && vm_events_.empty())
      vm_events_.push_back(std::move(told));
    changed_.notify_all();
    return {};
  }
  if (message.vcpu >= kVcpuNumbers)
    return wrong_event(fmt::format("an event of vcpu {}", message.vcpu));
  const std::uint16_t index = message.vcpu;
  Vcpu& vcpu = vcpus_[index];
  if (vcpu.waiting)
    return wrong_event(fmt::format("a {} event of vcpu {}, whose {} event was not answered yet",
                                   name_of(message.kind), index,
                                   name_of(vcpu.waiting->message.kind)));
  vcpu.waiting = std::move(told);
  vcpu.managed = false;
  route(index, vcpu);
  changed_.notify_all();
  return {};
}

void Vcpus::route(std::uint16_t index, Vcpu& vcpu) {
  switch (vcpu.waiting->message.kind) {
    case EventKind::pause_vcpu:
      if (vcpu.owed != 0) --vcpu.owed;
      vcpu.stage = Stage::held;
      if (vcpu.holds == 0) answer(vcpu, Action::proceed);
      return;
    case EventKind::breakpoint:
      route_breakpoint(index, vcpu);
      return;
    case EventKind::singlestep:
      if (!step_ || step_->vcpu != index) break;
      end_step(index, vcpu);
      return;
    case EventKind::create_vcpu:
      set_up_new(index, vcpu);
      break;
    default:
      break;
  }
  if (is_wanted(index, vcpu))
    enqueue(index, vcpu);
  else
    answer(vcpu, Action::proceed);
}

void Vcpus::route_breakpoint(std::uint16_t index, Vcpu& vcpu) {
  const EventMessage& message = vcpu.waiting->message;
  const Gpa gpa{number_in(abilities_.dialect, message, Field::gpa)};
  vcpu.managed = patches_.original(gpa).has_value();
  if (vcpu.managed ? patches_.is_asked(gpa, index) : is_wanted(index, vcpu))
    enqueue(index, vcpu);
  else if (!vcpu.managed && patches_.is_late(gpa, index))
    answer(vcpu, Action::retry);
  else
    answer_by_default(index, vcpu);
}

// What was asked of every vCPU is asked of this one too, before it runs.
void Vcpus::set_up_new(std::uint16_t index, Vcpu& vcpu) {
  count_ = std::max<std::uint32_t>(count_, index + 1U);
  for (const Switch& one : desired(index)) {
    post(request_for(abilities_.dialect, index, one, true));
    set_[index].insert(one);
  }
  if (pauses_ == 0 || vcpu.paused) return;
  vcpu.paused = true;
  ++vcpu.holds;
  ++vcpu.owed;
  post(Request(Command::pause_vcpu, {{Field::vcpu, index}}));
}

bool Vcpus::is_wanted(std::uint16_t index, const Vcpu& vcpu) const {
  const EventMessage& message = vcpu.waiting->message;
  if (vcpu.managed)
    return patches_.is_asked(Gpa{number_in(abilities_.dialect, message, Field::gpa)}, index);
  return asked_.wants(index, {message.kind, register_of(abilities_.dialect, message)});
}

void Vcpus::enqueue(std::uint16_t index, Vcpu& vcpu) {
  vcpu.stage = Stage::queued;
  queue_.push_back(index);
}

void Vcpus::answer(Vcpu& vcpu, const Bytes& bytes) {
  std::erase(queue_, vcpu.waiting->message.vcpu);
  vcpu.waiting.reset();
  vcpu.written.reset();
  // A connection that ended is told by the calls that wait for something.
  if (connection_) static_cast<void>(connection_->post(bytes).has_value());
}

void Vcpus::answer(Vcpu& vcpu, Action action) {
  answer(vcpu, plain_answer(abilities_.dialect, vcpu.waiting->message, action));
}

void Vcpus::answer_by_default(std::uint16_t index, Vcpu& vcpu) {
  if (vcpu.managed)
    step_over(index, vcpu);
  else
    answer(vcpu, Action::proceed);
}

void Vcpus::answer_unwanted() {
  const std::deque<std::uint16_t> queued = queue_;
  for (const std::uint16_t index : queued) {
    Vcpu& vcpu = vcpus_[index];
    if (vcpu.waiting && !is_wanted(index, vcpu)) answer_by_default(index, vcpu);
  }
}

void Vcpus::post(const Request& request) {
  if (connection_) static_cast<void>(connection_->post(request).has_value());
}

Expected<void> Vcpus::send(VcpuId vcpu, std::uint64_t ticket, const AnyReply& reply) {
  if (vcpu == kEveryVcpu) return {};  // nobody waits for an answer to Detached
  const std::lock_guard lock(mutex_);
  if (end_) return std::unexpected(*end_);
  if (closed_) return fail(Errc::disconnected, "the vm is gone");
  const auto found = vcpus_.find(static_cast<std::uint16_t>(to_integer(vcpu)));
  if (found == vcpus_.end() || !found->second.waiting || found->second.stage != Stage::taken ||
      found->second.waiting->message.seq != ticket)
    return fail(Errc::disconnected, "the event was answered before", vcpu);
  auto& [index, state] = *found;
  const bool proceed = std::holds_alternative<Proceed>(reply);
  if (proceed && state.managed) {
    step_over(index, state);
    return {};
  }
  if (const auto* result = std::get_if<CpuidResult>(&reply)) return answer_cpuid(state, *result);
  const auto bytes = answer_to(abilities_.dialect, state.waiting->message, reply);
  if (!bytes) return std::unexpected(bytes.error());
  answer(state, *bytes);
  return {};
}

// The kernel has put its own result into the registers by then, and goes behind the instruction
// when it has the answer.
Expected<void> Vcpus::answer_cpuid(Vcpu& vcpu, const CpuidResult& result) {
  const EventMessage& message = vcpu.waiting->message;
  if (message.kind != EventKind::cpuid || message.regs.size() != kRegsSize)
    return fail(Errc::not_supported, "KVMi has no such answer to this event");
  Regs regs{};
  std::ranges::copy(message.regs, regs.begin());
  if (vcpu.written) regs = *vcpu.written;
  Registers wanted;
  wanted.set(Reg::rax, result.eax);
  wanted.set(Reg::rbx, result.ebx);
  wanted.set(Reg::rcx, result.ecx);
  wanted.set(Reg::rdx, result.edx);
  if (auto done = change(regs, wanted); !done) return done;
  Request write(Command::set_registers, {{Field::vcpu, message.vcpu}});
  write.tail = regs;
  post(write);
  answer(vcpu, Action::proceed);
  return {};
}

}  // namespace microvmi::kvm
