// SPDX-License-Identifier: Apache-2.0
// Framing, dispatch and replies of the simulated kernel.
#include "support/kvmi_peer/kernel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace microvmi::test::kvmi {
namespace {

constexpr std::size_t kLongest = 64;  // violations that are kept; a fuzzer makes many

Bytes header(std::uint16_t id, std::size_t size, std::uint32_t seq) {
  Bytes out;
  append(out, id);
  append(out, static_cast<std::uint16_t>(size));
  append(out, seq);
  return out;
}

}  // namespace

Kernel::Kernel(Guest& guest, KernelSetup& setup, Record& record)
    : guest_(guest), setup_(setup), record_(record), vcpus_(guest.vcpus.size()) {}

void Kernel::violation(const std::string& text) {
  if (record_.violations.size() < kLongest) record_.violations.push_back(text);
}

void Kernel::refuse_and_close(const std::string& text) {
  violation(text);
  closed_ = true;
}

void Kernel::send_raw(ByteSpan bytes) { append_bytes(output_, bytes); }

Bytes Kernel::take_output() { return std::exchange(output_, {}); }

void Kernel::receive(ByteSpan bytes) {
  if (vcpus_.size() < guest_.vcpus.size()) vcpus_.resize(guest_.vcpus.size());
  append_bytes(input_, bytes);
  handled_ = 0;
  parsed_ = 0;
  while (!closed_ && take_message()) ++handled_;
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(parsed_));
  record_.most_in_flight = std::max(record_.most_in_flight, handled_);
  run();
}

bool Kernel::take_message() {
  const ByteSpan rest = ByteSpan(input_).subspan(parsed_);
  if (rest.size() < kHeaderSize) return false;
  const std::uint16_t id = u16(rest, 0);
  const std::size_t size = u16(rest, 2);
  if (size > kMaxPayload) {
    refuse_and_close(fmt::format("a message of id {} announces {} bytes, {} are allowed", id, size,
                                 kMaxPayload));
    return false;
  }
  if (rest.size() - kHeaderSize < size) return false;
  const ByteSpan payload = rest.subspan(kHeaderSize, size);
  Message message{.row = find_command(dialect(), id), .seq = u32(rest, 4), .payload = {}};
  message.payload.assign(payload.begin(), payload.end());
  parsed_ += kHeaderSize + size;
  if (message.row == nullptr) {
    violation(fmt::format("no command of this dialect has the id {}", id));
    Bytes refusal;
    append(refusal, static_cast<std::int32_t>(-kNoSys));
    append_zeros(refusal, 4);
    send_message(id, message.seq, refusal);
    return true;
  }
  dispatch(std::move(message));
  return true;
}

void Kernel::dispatch(Message message) {
  const CommandRow& row = *message.row;
  ++record_.commands[row.cmd];
  if (row.cmd != Cmd::event_reply && !in_flight_.insert(message.seq).second)
    violation(fmt::format("{} has the sequence number {} of a command without reply", row.name,
                          message.seq));
  // The real kernel takes longer and some shorter commands (section 3); no tool has a use for that.
  const std::string problem = request_problem(row, dialect(), message.payload);
  if (!problem.empty()) {
    violation(problem);
    if (row.cmd == Cmd::event_reply)
      closed_ = true;
    else
      send_reply(message, {.err = -kInval, .data = {}});
    return;
  }
  if (row.cmd == Cmd::pause_vcpu || !has_vcpu_header(shape_of(row, dialect()))) {
    execute(message, 0);
    return;
  }
  const unsigned vcpu = u16(message.payload, 0);
  const bool known = vcpu < vcpus_.size();
  if (row.cmd == Cmd::event_reply && !known) {
    refuse_and_close(fmt::format("an event reply for vcpu {} of {}", vcpu, vcpus_.size()));
  } else if (!known) {
    send_reply(message, {.err = -kInval, .data = {}});
  } else if (!guest_.vcpus[vcpu].started) {
    send_reply(message, {.err = -kAgain, .data = {}});
  } else {
    vcpus_[vcpu].commands.push_back(std::move(message));
  }
}

void Kernel::execute(const Message& message, unsigned vcpu) {
  if (message.row->cmd == Cmd::event_reply) {
    take_event_reply(vcpu, message);
    return;
  }
  Reply reply = answer_to(message, vcpu);
  const auto first = setup_.before_reply.find(message.row->cmd);
  if (first != setup_.before_reply.end()) {
    const auto [who, task] = std::exchange(first->second, {});
    setup_.before_reply.erase(first);
    do_deed(who, task);
  }
  send_reply(message, reply);
}

Kernel::Reply Kernel::answer_to(const Message& message, unsigned vcpu) {
  const Cmd cmd = message.row->cmd;
  if (const auto refused = setup_.refuse.find(cmd); refused != setup_.refuse.end())
    return {.err = -refused->second, .data = {}};
  if (const Handler handler = vm_handler(cmd)) return (this->*handler)(message.payload);
  if (const VcpuHandler handler = vcpu_handler(cmd)) return (this->*handler)(vcpu, message.payload);
  return {.err = -kNoSys, .data = {}};
}

Misdeed Kernel::misdeed_at(Cmd cmd) {
  const unsigned before = seen_[cmd]++;
  const auto found = std::ranges::find_if(
      setup_.faults, [&](const Fault& fault) { return fault.at == cmd && fault.skip == before; });
  return found == setup_.faults.end() ? Misdeed::none : found->what;
}

void Kernel::send_message(std::uint16_t id, std::uint32_t seq, ByteSpan payload) {
  if (closed_) return;
  append_bytes(output_, header(id, payload.size(), seq));
  append_bytes(output_, payload);
}

void Kernel::send_reply(const Message& message, const Reply& reply) {
  in_flight_.erase(message.seq);
  const Misdeed misdeed = misdeed_at(message.row->cmd);
  if (replies_off_ && message.row->cmd != Cmd::control_cmd_response) return;
  Bytes payload;
  append(payload, reply.err);
  append_zeros(payload, 4);
  if (reply.err == 0) append_bytes(payload, reply.data);
  auto id = static_cast<std::uint16_t>(message.row->id[column()]);
  std::uint32_t seq = message.seq;
  std::size_t announced = payload.size();
  switch (misdeed) {
    case Misdeed::none:
      break;
    case Misdeed::silence:
      return;
    case Misdeed::wrong_seq:
      seq += 0x40000000;
      break;
    case Misdeed::wrong_id:
      id = static_cast<std::uint16_t>(id + 1);
      break;
    case Misdeed::short_reply:
      payload.resize(announced = payload.size() - 4);
      break;
    case Misdeed::no_error_block:
      payload.resize(announced = 4);
      break;
    case Misdeed::long_reply:
      payload.resize(announced = payload.size() + 24, 0xee);
      break;
    case Misdeed::oversize:
      announced = kMaxPayload + 1;
      break;
    case Misdeed::hangup_before:
      closed_ = true;
      return;
    case Misdeed::hangup_in_header:
      payload.clear();
      break;
    case Misdeed::hangup_in_body:
      payload.resize(payload.size() / 2);
      break;
    case Misdeed::twice:
      send_message(id, seq, payload);
      break;
  }
  if (closed_) return;
  Bytes out = header(id, announced, seq);
  if (misdeed == Misdeed::hangup_in_header) out.resize(5);
  append_bytes(output_, out);
  append_bytes(output_, payload);
  if (misdeed == Misdeed::hangup_in_header || misdeed == Misdeed::hangup_in_body) closed_ = true;
}

bool Kernel::intercepts(unsigned vcpu, Ev ev) const {
  return vcpus_[vcpu].enabled.contains(ev) || (row_of(ev).of_vm && vm_enabled_.contains(ev));
}

void Kernel::stop(bool stopped) {
  stopped_ = stopped;
  run();
}

void Kernel::run() {
  for (std::size_t i = 0; i != vcpus_.size() && !closed_; ++i) {
    const std::size_t vcpu = setup_.backwards ? vcpus_.size() - 1 - i : i;
    run_vcpu(static_cast<unsigned>(vcpu));
  }
}

void Kernel::detach() {
  if (!input_.empty())
    violation(fmt::format("the tool hung up after {} bytes of a message", input_.size()));
  record_.leftovers.clear();
  const auto left = [this](std::string text) { record_.leftovers.push_back(std::move(text)); };
  for (const Ev ev : vm_enabled_) left(fmt::format("{} is enabled", row_of(ev).name));
  for (std::size_t i = 0; i != vcpus_.size(); ++i) {
    VcpuState& state = vcpus_[i];
    for (const Ev ev : state.enabled)
      left(fmt::format("vcpu {}: {} is enabled", i, row_of(ev).name));
    for (const auto cr : state.crs) left(fmt::format("vcpu {}: cr{} is intercepted", i, cr));
    for (const auto msr : state.msrs)
      left(fmt::format("vcpu {}: msr {:#x} is intercepted", i, msr));
    if (state.singlestep) left(fmt::format("vcpu {}: single-stepped", i));
    if (state.waiting)
      left(fmt::format("vcpu {}: {} {} is unanswered", i, row_of(state.waiting->ev).name,
                       state.waiting->seq));
    for (Task& task : state.deeds) task.outcome->released = task.outcome->done = true;
  }
  for (std::size_t i = 0; i != guest_.vcpus.size(); ++i)
    if (const auto view = std::exchange(guest_.vcpus[i].view, 0); view != 0)
      left(fmt::format("vcpu {}: sees view {}", i, view));
  for (const auto& [where, access] : access_)
    left(fmt::format("view {}: frame {:#x} has access {}", where.first, where.second, access));
  for (const auto view : views_) left(fmt::format("view {}: not destroyed", view));
  closed_ = true;
}

}  // namespace microvmi::test::kvmi
