// SPDX-License-Identifier: Apache-2.0
// From the public kinds of events to those of vm_event.
#include "driver/xen/switches.hpp"

#include "event/overloaded.hpp"

namespace microvmi::xen {
namespace {

std::optional<Switch> switch_told(const Message& request) {
  switch (request.reason()) {
    case Reason::write_ctrlreg:
      return Switch{Monitor::write_ctrlreg, static_cast<std::uint32_t>(request.what(0, 4))};
    case Reason::mov_to_msr:
      return Switch{Monitor::mov_to_msr, static_cast<std::uint32_t>(request.what(0, 8))};
    case Reason::software_breakpoint:
      return Switch{Monitor::software_breakpoint};
    case Reason::singlestep:
      return Switch{Monitor::singlestep};
    case Reason::guest_request:
      return Switch{Monitor::guest_request};
    case Reason::debug_exception:
      return Switch{Monitor::debug_exception};
    case Reason::cpuid:
      return Switch{Monitor::cpuid};
    case Reason::descriptor_access:
      return Switch{Monitor::descriptor};
    case Reason::emul_unimplemented:
      return Switch{Monitor::emul_unimplemented};
    case Reason::privileged_call:
      return Switch{Monitor::privileged_call};
    case Reason::mem_access:
    case Reason::unknown:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> number_of(Reg cr) {
  if (cr == Reg::cr0) return 0;
  if (cr == Reg::cr3) return 1;
  return cr == Reg::cr4 ? std::optional<std::uint32_t>(2) : std::nullopt;
}

std::optional<Reg> cr_of(std::uint64_t number) {
  for (const Reg reg : {Reg::cr0, Reg::cr3, Reg::cr4})
    if (number_of(reg) == number) return reg;
  return std::nullopt;
}

std::optional<Switch> switch_for(const Intercept& what) {
  using Result = std::optional<Switch>;
  const auto is = [](Monitor monitor) { return Result(Switch{monitor}); };
  return std::visit(
      Overloaded{
          [](const CrWrite::Filter& cr) {
            const auto number = number_of(cr.cr);
            return number ? Result(Switch{Monitor::write_ctrlreg, *number}) : std::nullopt;
          },
          [](const MsrWrite::Filter& msr) { return Result(Switch{Monitor::mov_to_msr, msr.msr}); },
          [](const Xsetbv::Filter&) { return Result(Switch{Monitor::write_ctrlreg, kXcr0}); },
          [&](const Int3::Filter&) { return is(Monitor::software_breakpoint); },
          [&](const SingleStep::Filter&) { return is(Monitor::singlestep); },
          [&](const DebugException::Filter&) { return is(Monitor::debug_exception); },
          [&](const DescriptorAccess::Filter&) { return is(Monitor::descriptor); },
          [&](const Cpuid::Filter&) { return is(Monitor::cpuid); },
          [&](const Hypercall::Filter&) { return is(Monitor::guest_request); },
          [&](const PrivilegedCall::Filter&) { return is(Monitor::privileged_call); },
          [&](const EmulateUnimplemented::Filter&) { return is(Monitor::emul_unimplemented); },
          [](const auto&) { return Result(); }},
      what);
}

const char* name_of(Monitor what) {
  switch (what) {
    case Monitor::write_ctrlreg:
      return "write_ctrlreg";
    case Monitor::mov_to_msr:
      return "mov_to_msr";
    case Monitor::singlestep:
      return "singlestep";
    case Monitor::software_breakpoint:
      return "software_breakpoint";
    case Monitor::guest_request:
      return "guest_request";
    case Monitor::debug_exception:
      return "debug_exception";
    case Monitor::cpuid:
      return "cpuid";
    case Monitor::privileged_call:
      return "privileged_call";
    case Monitor::descriptor:
      return "desc_access";
    case Monitor::emul_unimplemented:
      return "emul_unimplemented";
  }
  return "unknown";
}

bool asks_for(const Intercept& what, const Message& request) {
  if (std::holds_alternative<PageAccess::Filter>(what))
    return request.reason() == Reason::mem_access;
  const auto told = switch_told(request);
  return told && switch_for(what) == told;
}

}  // namespace microvmi::xen
