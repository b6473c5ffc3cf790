// SPDX-License-Identifier: Apache-2.0
// Commands that a vCPU's own thread executes: registers, what it intercepts, exceptions.
#include <fmt/format.h>

#include <array>

#include "support/kvmi_peer/kernel.hpp"

namespace microvmi::test::kvmi {
namespace {

constexpr std::size_t kXsaveSize = 4096;
constexpr std::uint8_t kWriteBack = 6;  // MTRR type
constexpr std::uint64_t kTsc = 2'400'000'000;

// What CONTROL_MSR takes (section 5).
bool can_be_intercepted(std::uint32_t msr) {
  return msr <= 0x1fff || (msr >= 0xc0000000 && msr <= 0xc0001fff);
}

template <class Set, class Value>
void put(Set& set, Value value, bool in) {
  if (in)
    set.insert(value);
  else
    set.erase(value);
}

}  // namespace

Kernel::VcpuHandler Kernel::vcpu_handler(Cmd cmd) {
  switch (cmd) {
    case Cmd::vcpu_get_info:
      return &Kernel::vcpu_get_info;
    case Cmd::vcpu_control_events:
      return &Kernel::control_events;
    case Cmd::control_cr:
      return &Kernel::control_cr;
    case Cmd::control_msr:
      return &Kernel::control_msr;
    case Cmd::get_registers:
      return &Kernel::get_registers;
    case Cmd::set_registers:
      return &Kernel::set_registers;
    case Cmd::get_cpuid:
      return &Kernel::get_cpuid;
    case Cmd::get_xsave:
      return &Kernel::get_xsave;
    case Cmd::inject_exception:
      return &Kernel::inject_exception;
    case Cmd::get_mtrr_type:
      return &Kernel::get_mtrr_type;
    case Cmd::set_view:
      return &Kernel::set_view;
    case Cmd::get_view:
      return &Kernel::get_view;
    case Cmd::translate_gva:
      return &Kernel::translate_gva;
    case Cmd::get_xcr:
      return &Kernel::get_xcr;
    case Cmd::control_singlestep:
      return &Kernel::control_singlestep;
    default:
      return nullptr;
  }
}

Kernel::Reply Kernel::vcpu_get_info(unsigned, ByteSpan) {
  Reply reply;
  append(reply.data, kTsc);
  return reply;
}

Kernel::Reply Kernel::control_events(unsigned vcpu, ByteSpan payload) {
  const EventRow* row = find_event(dialect(), u16(payload, 8));
  const std::uint8_t enable = u8(payload, 10);
  // PAUSE comes of the command alone; v12's TRAP and SINGLESTEP need no enabling, and the sheet
  // does not say what the kernel answers to it, so nobody may try.
  const bool wrong = row == nullptr || row->of_vm || row->ev == Ev::pause || enable > 1 ||
                     (v12() && (row->ev == Ev::trap || row->ev == Ev::singlestep));
  // The sheet does not say whether v6 has CPUID and SINGLESTEP: it refuses them, and a tool may
  // ask.
  if (row == nullptr && dialect() == Dialect::v6) return {.err = -kInval, .data = {}};
  if (wrong) {
    violation(fmt::format("CONTROL_EVENTS of event {}, enable {}", u16(payload, 8), enable));
    return {.err = -kInval, .data = {}};
  }
  if (setup_.denied.contains(row->ev)) return {.err = v12() ? -kPerm : -kOpNotSupp, .data = {}};
  put(vcpus_[vcpu].enabled, row->ev, enable != 0);
  return {};
}

Kernel::Reply Kernel::control_cr(unsigned vcpu, ByteSpan payload) {
  const std::uint8_t enable = u8(payload, v12() ? 9 : 8);
  const std::uint32_t cr = v12() ? u8(payload, 8) : u32(payload, 12);
  if (enable > 1 || (cr != 0 && cr != 3 && cr != 4)) {
    if (enable > 1) violation(fmt::format("CONTROL_CR has enable {}", enable));
    return {.err = -kInval, .data = {}};
  }
  put(vcpus_[vcpu].crs, cr, enable != 0);
  return {};
}

Kernel::Reply Kernel::control_msr(unsigned vcpu, ByteSpan payload) {
  const std::uint8_t enable = u8(payload, 8);
  const std::uint32_t msr = u32(payload, 12);
  if (enable > 1) violation(fmt::format("CONTROL_MSR has enable {}", enable));
  if (enable > 1 || !can_be_intercepted(msr)) return {.err = -kInval, .data = {}};
  put(vcpus_[vcpu].msrs, msr, enable != 0);
  return {};
}

Kernel::Reply Kernel::get_registers(unsigned vcpu, ByteSpan payload) {
  const Vcpu& state = guest_.vcpus[vcpu];
  const std::uint32_t count = u16(payload, 8);
  Reply reply;
  append(reply.data, std::uint32_t{state.mode()});
  append_zeros(reply.data, 4);
  append(reply.data, state.regs);
  append(reply.data, state.sregs);
  append(reply.data, count);
  append_zeros(reply.data, 4);
  for (std::uint32_t i = 0; i != count; ++i) {
    const std::uint32_t msr = u32(payload, 16 + 4 * std::size_t{i});
    const auto found = state.msrs.find(msr);
    if (found == state.msrs.end()) return {.err = -kInval, .data = {}};
    append(reply.data, msr);
    append_zeros(reply.data, 4);
    append(reply.data, found->second);
  }
  if (reply.data.size() + 8 > kMaxPayload) {
    violation(fmt::format("GET_REGISTERS asks for {} msrs, which no reply can hold", count));
    return {.err = -kInval, .data = {}};
  }
  return reply;
}

Kernel::Reply Kernel::set_registers(unsigned vcpu, ByteSpan payload) {
  VcpuState& state = vcpus_[vcpu];
  if (!state.waiting) return {.err = -kOpNotSupp, .data = {}};
  // Applied when the event is answered; until then GET_REGISTERS shows the old ones, which the
  // sheet infers.
  state.new_regs = regs_from(payload.subspan(8));
  return {};
}

Kernel::Reply Kernel::get_cpuid(unsigned vcpu, ByteSpan payload) {
  const std::uint32_t leaf = u32(payload, 8);
  if (leaf > 1) return {.err = -kNoEnt, .data = {}};  // as unknown as on no real machine
  Reply reply;
  for (const std::uint32_t one : {0x10U + leaf, 0x20U + vcpu, 0x30U, 0x40U})
    append(reply.data, one);
  return reply;
}

Kernel::Reply Kernel::get_xsave(unsigned, ByteSpan) {
  return {.err = 0, .data = Bytes(kXsaveSize)};
}

Kernel::Reply Kernel::inject_exception(unsigned vcpu, ByteSpan payload) {
  VcpuState& state = vcpus_[vcpu];
  if (v12() && setup_.denied.contains(Ev::trap)) return {.err = -kPerm, .data = {}};
  if (state.exception || (v12() && state.singlestep)) return {.err = -kBusy, .data = {}};
  state.exception = {
      .vector = u8(payload, 8), .error_code = u32(payload, 12), .address = u64(payload, 16)};
  return {};
}

Kernel::Reply Kernel::get_mtrr_type(unsigned, ByteSpan) {
  Reply reply;
  reply.data.push_back(kWriteBack);
  append_zeros(reply.data, 7);
  return reply;
}

Kernel::Reply Kernel::set_view(unsigned vcpu, ByteSpan payload) {
  const std::uint16_t view = u16(payload, 8);
  if (!setup_.eptp) return {.err = -kOpNotSupp, .data = {}};
  if (!has_view(view)) return {.err = -kInval, .data = {}};
  guest_.vcpus[vcpu].view = view;
  return {};
}

Kernel::Reply Kernel::get_view(unsigned vcpu, ByteSpan) {
  if (!setup_.eptp) return {.err = -kOpNotSupp, .data = {}};
  Reply reply;
  append(reply.data, guest_.vcpus[vcpu].view);
  append_zeros(reply.data, 6);
  return reply;
}

Kernel::Reply Kernel::translate_gva(unsigned vcpu, ByteSpan payload) {
  Reply reply;
  append(reply.data, guest_.translate(vcpu, u64(payload, 8)).value_or(~std::uint64_t{0}));
  return reply;
}

Kernel::Reply Kernel::get_xcr(unsigned vcpu, ByteSpan payload) {
  if (u8(payload, 8) != 0) return {.err = -kInval, .data = {}};
  Reply reply;
  append(reply.data, guest_.vcpus[vcpu].xcr0);
  return reply;
}

Kernel::Reply Kernel::control_singlestep(unsigned vcpu, ByteSpan payload) {
  const std::uint8_t enable = u8(payload, 8);
  if (enable > 1) violation(fmt::format("CONTROL_SINGLESTEP has enable {}", enable));
  if (!setup_.singlestep) return {.err = v12() ? -kOpNotSupp : -kInval, .data = {}};
  vcpus_[vcpu].singlestep = enable == 1;
  return {};
}

}  // namespace microvmi::test::kvmi
