// SPDX-License-Identifier: Apache-2.0
// From the reply to an event to what becomes of the guest; a bad reply ends the connection.
#include <fmt/format.h>

#include "support/kvmi_peer/kernel.hpp"

namespace microvmi::test::kvmi {
namespace {

constexpr std::size_t kReplyHead = 16;        // vCPU header, action, event, padding
constexpr std::size_t kPageFaultReply = 272;  // the family's, with 256 bytes of data
constexpr std::size_t kPageFaultContext = 256;

// What is wrong with the size and padding of the specific part.
std::string data_problem(const EventRow& row, Dialect dialect, ByteSpan data) {
  const std::string layout = row.answer[static_cast<std::size_t>(dialect)];
  std::size_t most = layout.size();
  if (row.ev == Ev::page_fault && dialect != Dialect::v12) most = kPageFaultReply;
  // Left out, it is taken for zeros (section 9), which the test sees by what is written.
  if (!data.empty() && data.size() != most)
    return fmt::format("the reply to {} has {} bytes of its own instead of {}", row.name,
                       data.size(), most);
  if (const long at = padding_problem(layout, data); at >= 0)
    return fmt::format("the reply to {} has padding that is not zero at byte {}", row.name, at);
  if (row.ev == Ev::page_fault && u32(data, 8) > kPageFaultContext)
    return fmt::format("the reply to PF announces {} bytes of context", u32(data, 8));
  return {};
}

}  // namespace

std::string Kernel::reply_problem(unsigned vcpu, const Message& message) {
  const auto& waiting = vcpus_[vcpu].waiting;
  const ByteSpan payload = message.payload;
  if (!waiting) return fmt::format("an event reply for vcpu {}, which waits for none", vcpu);
  const EventRow& row = row_of(waiting->ev);
  if (message.seq != waiting->seq)
    return fmt::format("the reply to {} has sequence number {} instead of {}", row.name,
                       message.seq, waiting->seq);
  const std::uint8_t action = u8(payload, 8);
  // The real kernel does not look at the event's number; a tool that has it wrong is confused.
  if (u8(payload, 9) != static_cast<std::uint8_t>(row.id[column()]))
    return fmt::format("the reply to {} is for event {}", row.name, u8(payload, 9));
  if (action > 2 || (row.actions & (1U << action)) == 0)
    return fmt::format("the reply to {} has action {}", row.name, action);
  return data_problem(row, dialect(), payload.subspan(kReplyHead));
}

void Kernel::take_event_reply(unsigned vcpu, const Message& message) {
  if (const std::string problem = reply_problem(vcpu, message); !problem.empty()) {
    refuse_and_close(problem);
    return;
  }
  VcpuState& state = vcpus_[vcpu];
  const Ev ev = state.waiting->ev;
  const auto action = static_cast<Action>(message.payload[8]);
  state.waiting.reset();
  ++record_.events_answered;
  if (action == Action::crash) {
    crash(vcpu);
    return;
  }
  const std::uint64_t rip = guest_.vcpus[vcpu].regs.rip;
  if (state.new_regs) guest_.vcpus[vcpu].regs = *state.new_regs;
  state.new_regs.reset();
  moved_ = guest_.vcpus[vcpu].regs.rip != rip;
  apply(vcpu, ev, action, ByteSpan(message.payload).subspan(kReplyHead));
}

void Kernel::crash(unsigned vcpu) {
  record_.crashed = true;
  if (!vcpus_[vcpu].deeds.empty()) {
    vcpus_[vcpu].deeds.front().outcome->crashed = true;
    vcpus_[vcpu].deeds.front().outcome->done = true;
  }
  closed_ = true;  // QEMU ends
}

void Kernel::apply(unsigned vcpu, Ev ev, Action action, ByteSpan data) {
  VcpuState& state = vcpus_[vcpu];
  if (ev == Ev::pause) {
    --state.pauses;
  } else if (ev != Ev::trap && ev != Ev::singlestep && !state.deeds.empty()) {
    Outcome& outcome = *state.deeds.front().outcome;
    outcome.action = action;
    outcome.answer.assign(data.begin(), data.end());
    apply_to_deed(vcpu, state.deeds.front(), action, data);
  }
}

void Kernel::apply_to_deed(unsigned vcpu, Task& task, Action action, ByteSpan data) {
  Outcome& outcome = *task.outcome;
  const bool again = action == Action::retry;
  switch (task.deed.ev) {
    case Ev::cr:
    case Ev::msr:
      write_register(vcpu, task, u64(data, 0));
      break;
    case Ev::xsetbv:
      write_register(vcpu, task, task.deed.value);
      break;
    case Ev::breakpoint:
      if (again) return;  // executes what is at rip now
      ++outcome.own_exceptions;
      if (!moved_) ++guest_.vcpus[vcpu].regs.rip;
      break;
    case Ev::page_fault:
      if (again && !moved_) return;
      outcome.skipped = again;
      break;
    case Ev::descriptor:
      outcome.skipped = again;
      break;
    case Ev::cpuid:
      // kvm_emulate_cpuid() of the KVM-VMI kernel tells the event when the result is in the
      // registers, and goes behind the instruction itself when it has the answer.
      guest_.vcpus[vcpu].regs.rip += kCpuidLength;
      break;
    default:
      break;
  }
  finish(vcpu, task);
}

}  // namespace microvmi::test::kvmi
