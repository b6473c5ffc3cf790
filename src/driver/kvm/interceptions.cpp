// SPDX-License-Identifier: Apache-2.0
// From the public kinds of events to those of KVMi.
#include "driver/kvm/interceptions.hpp"

#include <algorithm>

#include "event/overloaded.hpp"

namespace microvmi::kvm {
namespace {

std::optional<std::uint32_t> number_of(Reg cr) {
  switch (cr) {
    case Reg::cr0:
      return 0;
    case Reg::cr3:
      return 3;
    case Reg::cr4:
      return 4;
    default:
      return std::nullopt;
  }
}

bool is_of(VcpuId asked, std::uint16_t vcpu) {
  return asked == kEveryVcpu || to_integer(asked) == vcpu;
}

}  // namespace

std::optional<Switch> switch_for(const Intercept& what) {
  using Result = std::optional<Switch>;
  const auto is = [](EventKind kind) { return Result(Switch{kind}); };
  return std::visit(
      Overloaded{
          [](const CrWrite::Filter& cr) {
            const auto number = number_of(cr.cr);
            return number ? Result(Switch{EventKind::cr, number}) : std::nullopt;
          },
          [](const MsrWrite::Filter& msr) { return Result(Switch{EventKind::msr, msr.msr}); },
          [&](const Xsetbv::Filter&) { return is(EventKind::xsetbv); },
          [&](const Int3::Filter&) { return is(EventKind::breakpoint); },
          [&](const SingleStep::Filter&) { return Result(Switch{EventKind::singlestep, 0}); },
          [&](const PageAccess::Filter&) { return is(EventKind::page_fault); },
          [&](const DescriptorAccess::Filter&) { return is(EventKind::descriptor); },
          [&](const TrapDelivered::Filter&) { return is(EventKind::trap); },
          [&](const Cpuid::Filter&) { return is(EventKind::cpuid); },
          [&](const Hypercall::Filter&) { return is(EventKind::hypercall); },
          [&](const VcpuCreated::Filter&) { return is(EventKind::create_vcpu); },
          [&](const Detached::Filter&) { return is(EventKind::unhook); },
          [](const auto&) { return Result(); }},
      what);
}

Request request_for(Dialect dialect, std::uint16_t vcpu, const Switch& one, bool on) {
  const EventRow& event = row(dialect, one.kind);
  const std::uint64_t enable = on ? 1 : 0;
  if (event.of_vm)
    return Request(Command::vm_control_events, {{Field::event, event.id}, {Field::enable, enable}});
  if (!one.number)
    return Request(Command::control_events,
                   {{Field::vcpu, vcpu}, {Field::event, event.id}, {Field::enable, enable}});
  if (one.kind == EventKind::cr)
    return Request(Command::control_cr,
                   {{Field::vcpu, vcpu}, {Field::cr, *one.number}, {Field::enable, enable}});
  if (one.kind == EventKind::msr)
    return Request(Command::control_msr,
                   {{Field::vcpu, vcpu}, {Field::msr, *one.number}, {Field::enable, enable}});
  return Request(Command::control_singlestep, {{Field::vcpu, vcpu}, {Field::enable, enable}});
}

std::vector<Interceptions::Asked>::iterator Interceptions::find(VcpuId vcpu,
                                                                const Intercept& what) {
  return std::ranges::find_if(
      asked_, [&](const Asked& one) { return one.vcpu == vcpu && one.what == what; });
}

bool Interceptions::add(VcpuId vcpu, const Intercept& what) {
  if (find(vcpu, what) != asked_.end()) return false;
  asked_.push_back({vcpu, what});
  return true;
}

bool Interceptions::remove(VcpuId vcpu, const Intercept& what) {
  const auto found = find(vcpu, what);
  if (found == asked_.end()) return false;
  asked_.erase(found);
  return true;
}

bool Interceptions::wants(std::uint16_t vcpu, const Switch& one) const {
  return std::ranges::any_of(asked_, [&](const Asked& asked) {
    return is_of(asked.vcpu, vcpu) && switch_for(asked.what) == one;
  });
}

bool Interceptions::any_for_every() const {
  return std::ranges::any_of(asked_, [](const Asked& one) {
    return one.vcpu == kEveryVcpu && !std::holds_alternative<Detached::Filter>(one.what);
  });
}

Switches Interceptions::of_vcpu(Dialect dialect, std::uint16_t vcpu) const {
  Switches out;
  for (const Asked& one : asked_) {
    const auto wanted = switch_for(one.what);
    if (!wanted || !is_of(one.vcpu, vcpu) || row(dialect, wanted->kind).of_vm) continue;
    // v12 always tells what was injected, and every step that it makes.
    const bool always = dialect == Dialect::v12 &&
                        (wanted->kind == EventKind::trap || wanted->kind == EventKind::singlestep);
    if (!always) out.insert({wanted->kind});
    if (wanted->number) out.insert(*wanted);
  }
  return out;
}

}  // namespace microvmi::kvm
