// SPDX-License-Identifier: Apache-2.0
// What each reply becomes.
//
// A write to CR0, CR3, CR4 or an MSR is told, and made before the answer: Xen keeps it back only
// where it was asked to in a way that its libraries do not have (control_register_values), and then
// kDeny drops it. So another value, or the old one, is put into the context of the vCPU.
//
// CPUID and the access to a descriptor table are not executed: with kEmulate Xen does so when the
// vCPU goes on, for reasons that allow it (vm_event_emulate_check() of 4.16 to 4.20 looks at the
// reason of the response, not at that of the request).
#include "driver/xen/answer.hpp"

#include <algorithm>

#include "driver/xen/state.hpp"
#include "driver/xen/switches.hpp"
#include "event/overloaded.hpp"

namespace microvmi::xen {
namespace {

// Exceptions: Intel SDM vol. 3A table 6-1; how they come about: HVMOP_TRAP_* of xen/hvm/hvm_op.h.
constexpr std::uint8_t kInvalidOpcode = 6;
constexpr std::uint8_t kBreakpoint = 3;
constexpr std::uint8_t kDebug = 1;
constexpr std::uint8_t kHardwareException = 3;
constexpr std::uint32_t kNoErrorCode = ~0U;

// Index (Intel SDM vol. 4) and register of those that the context of a vCPU has.
struct Msr {
  std::uint32_t index;
  Reg reg;
};
constexpr std::array kMsrs{Msr{0x174, Reg::sysenter_cs},  Msr{0x175, Reg::sysenter_esp},
                           Msr{0x176, Reg::sysenter_eip}, Msr{0xc0000081, Reg::star},
                           Msr{0xc0000082, Reg::lstar},   Msr{0xc0000083, Reg::cstar},
                           Msr{0xc0000084, Reg::fmask},   Msr{0xc0000100, Reg::fs_base},
                           Msr{0xc0000101, Reg::gs_base}, Msr{0xc0000102, Reg::kernel_gs_base},
                           Msr{0xc0000103, Reg::tsc_aux}};

std::unexpected<Error> no_such_answer(const char* why) {
  return fail(Errc::not_supported, std::string("Xen has no such answer: ") + why);
}

class Answerer {
 public:
  Answerer(const Message& request, const Registers& written)
      : request_(request), registers_(written) {}

  Expected<Answer> answer(const AnyReply& reply) {
    auto done = std::visit(Overloaded{[&](const Proceed&) { return proceed(); },
                                      [&](const SetValue& set) { return set_value(set.value); },
                                      [&](const Refuse&) { return refuse(); },
                                      [&](const Retry&) { return Expected<void>{}; },
                                      [&](const ReadAs& read) { return read_as(read.bytes); },
                                      [&](const CpuidResult& result) { return cpuid(result); }},
                           reply);
    if (!done) return std::unexpected(std::move(done.error()));
    return finish();
  }

 private:
  // Once rip was written, the instruction that it was at is not what goes on.
  [[nodiscard]] bool moved() const {
    const auto rip = registers_[Reg::rip];
    return rip && rip != registers_of_event(request_.data())[Reg::rip];
  }

  Expected<void> proceed() {
    switch (request_.reason()) {
      case Reason::cpuid:
        if (moved()) break;
        flags_ |= kEmulate;
        reason_ = Reason::descriptor_access;
        break;
      case Reason::descriptor_access:
      case Reason::mem_access:
        if (!moved()) flags_ |= kEmulate;
        break;
      case Reason::software_breakpoint:
        trap(kBreakpoint);
        break;
      case Reason::debug_exception:
        trap(kDebug);
        break;
      case Reason::privileged_call:
      case Reason::emul_unimplemented:  // which is what the guest gets where nobody asks for it
        trap_ = Trap{.vcpu = request_.vcpu(),
                     .vector = kInvalidOpcode,
                     .type = kHardwareException,
                     .error_code = kNoErrorCode};
        break;
      default:
        break;
    }
    return {};
  }

  // struct vm_event_debug: frame, pending exceptions, length, type.
  void trap(std::uint8_t vector) {
    trap_ = Trap{.vcpu = request_.vcpu(),
                 .vector = vector,
                 .type = static_cast<std::uint8_t>(request_.what(20, 1)),
                 .error_code = kNoErrorCode,
                 .length = static_cast<std::uint8_t>(request_.what(16, 4)),
                 .extra = request_.what(8, 8)};
  }

  Expected<void> set_value(std::uint64_t value) {
    if (request_.reason() == Reason::write_ctrlreg) {
      const auto cr = cr_of(request_.what(0, 4));
      if (!cr) return no_such_answer("XCR0 was written already");
      context_.set(*cr, value);
    } else {
      const auto* const msr = std::ranges::find(kMsrs, request_.what(0, 8), &Msr::index);
      if (request_.reason() != Reason::mov_to_msr || msr == kMsrs.end())
        return no_such_answer("this MSR is not in the context of a vcpu");
      context_.set(msr->reg, value);
    }
    flags_ |= kDeny;
    return {};
  }

  // Both structures have the old value behind the new one.
  Expected<void> refuse() {
    if (request_.reason() != Reason::mem_access) return set_value(request_.what(16, 8));
    flags_ |= kEmulate | kEmulateNoWrite;
    return {};
  }

  Expected<void> read_as(const std::vector<std::byte>& bytes) {
    if (bytes.size() > kEventRegsSize - 4) return no_such_answer("so many bytes");
    if (registers_.known().any()) return no_such_answer("registers were written, and bytes given");
    flags_ |= kEmulate | kSetReadData;
    data_.assign(4 + bytes.size(), std::byte{});
    store(data_, 0, 4, bytes.size());
    std::ranges::copy(bytes, data_.begin() + 4);
    return {};
  }

  Expected<void> cpuid(const CpuidResult& result) {
    registers_.set(Reg::rax, result.eax);
    registers_.set(Reg::rbx, result.ebx);
    registers_.set(Reg::rcx, result.ecx);
    registers_.set(Reg::rdx, result.edx);
    const std::uint64_t rip = registers_of_event(request_.data())[Reg::rip].value_or(0);
    if (!registers_[Reg::rip]) registers_.set(Reg::rip, rip + request_.what(0, 4));
    return {};
  }

  Answer finish() {
    Answer out{.context = context_, .trap = trap_, .response = request_};
    if (registers_.known().any()) flags_ |= kSetRegisters;
    change_event(out.response.data(), registers_);
    if (!data_.empty()) std::ranges::copy(data_, out.response.data().begin());
    const std::uint32_t kept = request_.flags() & (kVcpuPaused | kAlternateView);
    out.response.set_head(kept | flags_, reason_, request_.vcpu());
    return out;
  }

  const Message& request_;
  Registers registers_;  // that the response sets
  Registers context_{};
  std::optional<Trap> trap_ = std::nullopt;
  std::uint32_t flags_ = 0;
  Reason reason_ = request_.reason();
  std::vector<std::byte> data_{};
};

}  // namespace

Expected<Answer> answer_to(const Message& request, const AnyReply& reply,
                           const Registers& written) {
  return Answerer(request, written).answer(reply);
}

Message release_of(std::uint32_t vcpu) {
  Message out;
  out.set_head(kVcpuPaused, Reason::unknown, vcpu);
  return out;
}

}  // namespace microvmi::xen
