// SPDX-License-Identifier: Apache-2.0
// What each reason tells; the places are those of the structures in xen/vm_event.h.
#include "driver/xen/answer.hpp"
#include "driver/xen/state.hpp"
#include "driver/xen/switches.hpp"

namespace microvmi::xen {
namespace {

// VM_EVENT_DESC_*
std::optional<DescriptorAccess::Table> table_of(std::uint64_t number) {
  using enum DescriptorAccess::Table;
  constexpr std::array kTables{idt, gdt, ldt, tr};
  if (number < 1 || number > kTables.size()) return std::nullopt;
  return kTables[number - 1];
}

class Teller {
 public:
  Teller(const Message& request, const std::weak_ptr<ReplySink>& sink, std::uint64_t ticket)
      : request_(request),
        sink_(sink),
        ticket_(ticket),
        registers_(registers_of_event(request.data())) {}

  std::optional<Event> tell() const {
    switch (request_.reason()) {
      case Reason::write_ctrlreg:
        return write_of_cr();
      case Reason::mov_to_msr:
        return as(MsrWrite{static_cast<std::uint32_t>(get(0, 8)), get(16, 8), get(8, 8)});
      case Reason::software_breakpoint:
        return as(Int3{rip(), place(), static_cast<std::uint8_t>(get(16, 4))});
      case Reason::singlestep:
        return as(SingleStep{});
      case Reason::debug_exception:
        return as(DebugException{rip(), place(), registers_[Reg::dr6]});
      case Reason::guest_request:
        return as(Hypercall{registers_[Reg::rax].value_or(0)});
      case Reason::cpuid:
        return as(
            Cpuid{static_cast<std::uint32_t>(get(4, 4)), static_cast<std::uint32_t>(get(8, 4))});
      case Reason::descriptor_access:
        if (const auto table = table_of(get(16, 1)))
          return as(DescriptorAccess{*table, get(17, 1) != 0});
        return std::nullopt;
      case Reason::mem_access:
        return as(page_access());
      case Reason::privileged_call:
        return as(PrivilegedCall{rip()});
      case Reason::emul_unimplemented:
        return as(EmulateUnimplemented{rip()});
      case Reason::unknown:
        return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::uint64_t get(std::size_t offset, std::size_t width) const {
    return request_.what(offset, width);
  }
  [[nodiscard]] Gva rip() const { return Gva{registers_[Reg::rip].value_or(0)}; }

  // Of the instruction: struct vm_event_debug begins with its frame.
  [[nodiscard]] std::optional<Gpa> place() const {
    const std::uint64_t frame = get(0, 8);
    if (frame > ~0ULL / kPageSize) return std::nullopt;  // INVALID_GFN: rip is not mapped
    return Gpa{frame * kPageSize + to_integer(rip()) % kPageSize};
  }

  template <class E>
  [[nodiscard]] Event as(E what) const {
    return Caught<E>(what, VcpuId{request_.vcpu()}, registers_, sink_, ticket_);
  }

  [[nodiscard]] std::optional<Event> write_of_cr() const {
    const std::uint64_t number = get(0, 4);
    if (number == kXcr0) return as(Xsetbv{0, get(16, 8), get(8, 8)});
    const auto cr = cr_of(number);
    if (!cr) return std::nullopt;
    return as(CrWrite{*cr, get(16, 8), get(8, 8)});
  }

  [[nodiscard]] PageAccess page_access() const {
    constexpr std::uint64_t kGvaIsKnown = 1U << 3U;  // MEM_ACCESS_GLA_VALID
    const std::uint64_t bits = get(24, 4);
    PageAccess out{
        .gpa = Gpa{get(0, 8) * kPageSize + get(8, 8)},
        .gva = std::nullopt,
        .access = {.read = (bits & 1) != 0, .write = (bits & 2) != 0, .execute = (bits & 4) != 0},
        .view = kDefaultView};
    if ((bits & kGvaIsKnown) != 0) out.gva = Gva{get(16, 8)};
    return out;
  }

  const Message& request_;
  const std::weak_ptr<ReplySink>& sink_;
  std::uint64_t ticket_;
  Registers registers_;
};

}  // namespace

std::optional<Event> public_event(const Message& request, const std::weak_ptr<ReplySink>& sink,
                                  std::uint64_t ticket) {
  return Teller(request, sink, ticket).tell();
}

}  // namespace microvmi::xen
