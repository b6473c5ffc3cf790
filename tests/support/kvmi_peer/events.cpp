// SPDX-License-Identifier: Apache-2.0
// From what the guest does to the event that the tool gets.
#include <fmt/format.h>

#include <array>

#include "support/kvmi_peer/kernel.hpp"

namespace microvmi::test::kvmi {
namespace {

constexpr std::uint16_t kEventMessage = 1;  // v7: every event; v12: those of a vCPU
constexpr std::uint16_t kVmEventMessage12 = 0;
constexpr std::uint16_t kCommonSize = 544;
constexpr unsigned kMostTries = 100;  // of one instruction, before the guest counts as stuck
constexpr std::uint64_t kHvmOp = 34, kGuestRequest = 24;  // of the hypercall (section 9)
constexpr std::uint32_t kHardwareException = 3;           // SDM volume 3, 24.8.3; v6's "type"

// sysenter_cs, _esp, _eip, efer, star, lstar, cstar, pat, kernel_gs_base
constexpr std::array<std::uint32_t, 9> kEventMsrs{
    0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0x277, 0xc0000102};

Bytes quads(std::initializer_list<std::uint64_t> values) {
  Bytes out;
  for (const std::uint64_t value : values) append(out, value);
  return out;
}

Bytes page_fault_data(const Deed& deed, std::uint16_t view) {
  Bytes out = quads({deed.gva, deed.gpa});
  out.push_back(deed.access);
  out.push_back(0);
  append(out, view);
  append_zeros(out, 4);
  return out;
}

Bytes descriptor_data(const Deed& deed) {
  Bytes out{static_cast<std::uint8_t>(deed.number), static_cast<std::uint8_t>(deed.value)};
  append_zeros(out, 6);
  return out;
}

Bytes cpuid_data(const Deed& deed) {
  Bytes out;
  append(out, static_cast<std::uint32_t>(deed.number));
  append(out, static_cast<std::uint32_t>(deed.value));
  out.push_back(kCpuidLength);
  append_zeros(out, 7);
  return out;
}

// What GET_CPUID says; the kernel writes it before it tells the event.
void put_cpuid_result(Regs& regs, unsigned vcpu, const Deed& deed) {
  const bool known = deed.number <= 1;
  regs.rax = known ? 0x10 + deed.number : 0;
  regs.rbx = known ? 0x20 + vcpu : 0;
  regs.rcx = known ? 0x30 : 0;
  regs.rdx = known ? 0x40 : 0;
}

Bytes trap_data(const Injected& what, Dialect dialect) {
  Bytes out;
  append(out, std::uint32_t{what.vector});
  if (dialect == Dialect::v6) append(out, kHardwareException);
  append(out, what.error_code);
  if (dialect == Dialect::v6) append_zeros(out, 4);
  append(out, what.address);
  return out;
}

}  // namespace

void Kernel::do_deed(unsigned vcpu, Task task) {
  // A vCPU that has just appeared joins those of this connection.
  if (vcpus_.size() < guest_.vcpus.size()) vcpus_.resize(guest_.vcpus.size());
  vcpus_.at(vcpu).deeds.push_back(std::move(task));
  run_vcpu(vcpu);
}

void Kernel::run_vcpu(unsigned vcpu) {
  if (stopped_ || !guest_.vcpus[vcpu].started) return;
  do {
    while (!vcpus_[vcpu].commands.empty() && !closed_) {
      const Message message = std::move(vcpus_[vcpu].commands.front());
      vcpus_[vcpu].commands.pop_front();
      execute(message, vcpu);
    }
  } while (!closed_ && !vcpus_[vcpu].waiting && enter_guest(vcpu));
}

bool Kernel::enter_guest(unsigned vcpu) {
  VcpuState& state = vcpus_[vcpu];
  // "TRAP before anything else, PAUSE last": last before the guest goes on.
  if (state.exception) {
    deliver_exception(vcpu);
  } else if (state.pauses != 0) {
    send_event(vcpu, Ev::pause, {});
  } else if (!state.deeds.empty()) {
    perform(vcpu, state.deeds.front());
  } else if (state.singlestep && (v12() || intercepts(vcpu, Ev::singlestep))) {
    state.deeds.push_front({.deed = Deed::run(1)});
  } else {
    return false;
  }
  return true;
}

void Kernel::deliver_exception(unsigned vcpu) {
  const Injected what = setup_.injected_instead.value_or(*vcpus_[vcpu].exception);
  vcpus_[vcpu].exception.reset();
  record_.injected.push_back(what);
  if (v12() || setup_.trap_always || intercepts(vcpu, Ev::trap))
    send_event(vcpu, Ev::trap, trap_data(what, dialect()));
}

std::uint64_t Kernel::read_register(unsigned vcpu, const Deed& deed) {
  Vcpu& state = guest_.vcpus[vcpu];
  if (deed.ev == Ev::msr) return state.msrs[static_cast<std::uint32_t>(deed.number)];
  if (deed.ev == Ev::xsetbv) return state.xcr0;
  return deed.number == 0 ? state.sregs.cr0 : deed.number == 3 ? state.sregs.cr3 : state.sregs.cr4;
}

void Kernel::write_register(unsigned vcpu, Task& task, std::uint64_t value) {
  Vcpu& state = guest_.vcpus[vcpu];
  const Deed& deed = task.deed;
  if (deed.ev == Ev::msr)
    state.msrs[static_cast<std::uint32_t>(deed.number)] = value;
  else if (deed.ev == Ev::xsetbv)
    state.xcr0 = value;
  else if (deed.number == 0)
    state.sregs.cr0 = value;
  else if (deed.number == 3)
    state.sregs.cr3 = value;
  else
    state.sregs.cr4 = value;
  task.outcome->written = value;
}

void Kernel::perform(unsigned vcpu, Task& task) {
  const Deed& deed = task.deed;
  VcpuState& state = vcpus_[vcpu];
  if (task.outcome->events > kMostTries) {
    refuse_and_close(
        fmt::format("vcpu {} does one instruction for ever: its {} is answered {} times "
                    "and nothing changes",
                    vcpu, row_of(deed.ev).name, task.outcome->events));
    return;
  }
  bool wanted = intercepts(vcpu, deed.ev);
  Bytes data;
  switch (deed.ev) {
    case Ev::cr:
    case Ev::msr: {
      const std::uint64_t old = read_register(vcpu, deed);
      const auto number = static_cast<std::uint32_t>(deed.number);
      wanted = wanted && (deed.ev == Ev::cr ? state.crs : state.msrs).contains(number) &&
               (deed.ev == Ev::msr || old != deed.value);
      data = quads({deed.number, old, deed.value});
      break;
    }
    case Ev::xsetbv:
      // The operands of the instruction (SDM volume 2).
      guest_.vcpus[vcpu].regs.rcx = deed.number;
      guest_.vcpus[vcpu].regs.rax = deed.value & 0xffffffff;
      guest_.vcpus[vcpu].regs.rdx = deed.value >> 32;
      if (v12()) data = quads({deed.number, read_register(vcpu, deed), deed.value});
      break;
    case Ev::breakpoint:
      step_instruction(vcpu, task);
      return;
    case Ev::page_fault: {
      const std::uint16_t view = guest_.vcpus[vcpu].view;
      wanted = wanted && (deed.access & ~access_of(view, deed.gpa / kPage)) != 0;
      const bool tell = dialect() == Dialect::v7 && setup_.view_in_page_fault;
      data = page_fault_data(deed, tell ? view : std::uint16_t{0});
      break;
    }
    case Ev::hypercall:
      guest_.vcpus[vcpu].regs.rax = kHvmOp;
      guest_.vcpus[vcpu].regs.rdi = kGuestRequest;
      break;
    case Ev::descriptor:
      data = descriptor_data(deed);
      break;
    case Ev::cpuid:
      data = cpuid_data(deed);
      put_cpuid_result(guest_.vcpus[vcpu].regs, vcpu, deed);
      break;
    default:
      break;
  }
  if (wanted) {
    ++task.outcome->events;
    send_event(vcpu, deed.ev, data);
    return;
  }
  if (deed.ev == Ev::cr || deed.ev == Ev::msr || deed.ev == Ev::xsetbv)
    write_register(vcpu, task, deed.value);
  finish(vcpu, task);
}

void Kernel::step_instruction(unsigned vcpu, Task& task) {
  Regs& regs = guest_.vcpus[vcpu].regs;
  const auto gpa = guest_.translate(vcpu, regs.rip);
  const std::uint8_t* at = gpa ? guest_.at(*gpa) : nullptr;
  if (at == nullptr) {
    refuse_and_close(fmt::format("vcpu {} runs into nothing at {:#x}", vcpu, regs.rip));
    return;
  }
  if (*at == kInt3 && intercepts(vcpu, Ev::breakpoint)) {
    // The sheet does not say what rip is during the event; on Intel's processors it is the
    // address of the instruction, and insn_len is there because of that.
    ++task.outcome->events;
    Bytes data = quads({*gpa});
    data.push_back(1);
    append_zeros(data, 7);
    send_event(vcpu, Ev::breakpoint, data);
    return;
  }
  if (*at == kInt3) ++task.outcome->own_exceptions;
  ++regs.rip;
  finish(vcpu, task);
}

void Kernel::finish(unsigned vcpu, Task& task) {
  VcpuState& state = vcpus_[vcpu];
  const bool more = task.deed.ev == Ev::breakpoint && --task.deed.number != 0;
  if (!more) {
    task.outcome->done = true;
    state.deeds.pop_front();
  }
  if (!state.singlestep || (!v12() && !intercepts(vcpu, Ev::singlestep))) return;
  Bytes data{std::uint8_t{setup_.next_step_fails}};
  setup_.next_step_fails = false;
  append_zeros(data, 7);
  send_event(vcpu, Ev::singlestep, data);
}

void Kernel::append_vcpu_state(Bytes& to, unsigned vcpu) {
  const Vcpu& state = guest_.vcpus[vcpu];
  append(to, state.regs);
  append(to, state.sregs);
  for (const std::uint32_t msr : kEventMsrs) {
    const auto found = state.msrs.find(msr);
    append(to, found == state.msrs.end() ? std::uint64_t{0} : found->second);
  }
  to.resize(to.size() + setup_.common_extra, 0xee);
}

void Kernel::send_event(unsigned vcpu, Ev ev, ByteSpan data) {
  const EventRow& row = row_of(ev);
  const auto id = static_cast<std::uint16_t>(row.id[column()]);
  const std::uint32_t seq = ++event_seq_;
  const auto common = static_cast<std::uint16_t>(kCommonSize + setup_.common_extra);
  Bytes out;
  if (v12()) {
    append(out, id);
    append_zeros(out, 6);
  }
  append(out, common);
  append(out, static_cast<std::uint16_t>(vcpu));
  out.push_back(v12() ? std::uint8_t{0} : static_cast<std::uint8_t>(id));
  append_zeros(out, 3);
  out.push_back(guest_.vcpus[vcpu].mode());
  out.push_back(0);
  append(out, dialect() == Dialect::v7 ? guest_.vcpus[vcpu].view : std::uint16_t{0});
  append_zeros(out, 4);
  append_vcpu_state(out, vcpu);
  append_bytes(out, data.first(std::min(data.size(), row.data[column()])));
  ++record_.events_sent;
  vcpus_[vcpu].waiting = Waiting{.ev = ev, .seq = seq};
  send_message(kEventMessage, seq, out);
}

bool Kernel::unhook() {
  if (!vm_enabled_.contains(Ev::unhook)) {
    closed_ = true;
    return false;
  }
  const std::uint32_t seq = ++event_seq_;
  Bytes out;
  if (v12()) {
    append_zeros(out, 8);  // event 0
    send_message(kVmEventMessage12, seq, out);
  } else {
    append(out, kCommonSize);
    append_zeros(out, kCommonSize - 2);
    send_message(kEventMessage, seq, out);
  }
  return true;
}

}  // namespace microvmi::test::kvmi
