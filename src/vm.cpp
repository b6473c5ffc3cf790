// SPDX-License-Identifier: Apache-2.0
// Vm: missing capabilities become errors, and pauses nest.
#include "microvmi/vm.hpp"

#include <string>

namespace microvmi {

Vm::~Vm() {
  if (driver_ && pauses_ != 0 && was_running_) static_cast<void>(control()->resume().has_value());
}

RunControl* Vm::control() {
  RunControl* own = driver_->run_control();
  return own && guard_ ? guard_.get() : own;
}

Expected<bool> Vm::running() {
  RunControl* const own = control();
  return own ? own->running() : lacks(Capability::run_control);
}

std::vector<Capability> Vm::capabilities() const {
  std::vector<Capability> out;
  if (memory().writable()) out.push_back(Capability::memory_write);
  if (memory().viewable()) out.push_back(Capability::memory_view);
  if (driver_->run_control()) out.push_back(Capability::run_control);
  if (driver_->registers()) out.push_back(Capability::registers);
  if (driver_->events()) out.push_back(Capability::events);
  if (driver_->injection()) out.push_back(Capability::injection);
  if (driver_->page_access()) out.push_back(Capability::page_access);
  if (driver_->dirty_pages()) out.push_back(Capability::dirty_pages);
  if (driver_->xsave()) out.push_back(Capability::xsave);
  return out;
}

// With what would let more be done with this guest, where the driver tells it as the fact "hint".
std::unexpected<Error> Vm::lacks(Capability capability) const {
  std::string hint;
  for (const Fact& fact : info().facts)
    if (const auto* text = std::get_if<std::string>(&fact.value); text && fact.name == "hint")
      hint = *text;
  return fail(Errc::not_supported,
              std::string("driver ") + name_of(type_) + " has no " +
                  kCapabilityNames[static_cast<std::size_t>(capability)],
              {}, std::move(hint));
}

Expected<void> Vm::pause() {
  RunControl* const own = control();
  if (!own) return lacks(Capability::run_control);
  // Asked of a guard each time, so that a pause does not rest on one that is gone.
  if (pauses_ == 0 || guard_) {
    const auto running = own->running();
    if (!running) return std::unexpected(running.error());
    if (pauses_ == 0) was_running_ = *running;
  }
  if (pauses_ == 0 && was_running_)
    if (auto done = own->pause(); !done) {
      // It may have stopped without saying so.
      static_cast<void>(own->resume().has_value());
      return done;
    }
  ++pauses_;
  return {};
}

Expected<void> Vm::resume() {
  RunControl* const own = control();
  if (!own) return lacks(Capability::run_control);
  if (pauses_ == 0) return fail(Errc::busy, "resume without a pause");
  if (pauses_ == 1 && was_running_)
    if (auto done = own->resume(); !done) return done;
  --pauses_;
  return {};
}

Expected<Registers> Vm::read_registers(VcpuId vcpu) {
  RegisterAccess* access = driver_->registers();
  return access ? access->read(vcpu) : lacks(Capability::registers);
}

Expected<std::vector<VcpuRegisters>> Vm::read_all_registers() {
  RegisterAccess* access = driver_->registers();
  return access ? access->read_all() : lacks(Capability::registers);
}

// vCPUs are numbered from 0 on without gaps, unless the driver knows better.
Expected<std::vector<VcpuRegisters>> RegisterAccess::read_all() {
  std::vector<VcpuRegisters> out;
  while (true) {
    const VcpuId vcpu{static_cast<std::uint32_t>(out.size())};
    auto one = read(vcpu);
    if (!one && one.error().code == Errc::not_found && !out.empty()) return out;
    if (!one) return std::unexpected(std::move(one.error()));
    out.push_back({vcpu, *one});
  }
}

Expected<void> Vm::write_registers(VcpuId vcpu, const Registers& registers) {
  RegisterAccess* access = driver_->registers();
  return access ? access->write(vcpu, registers) : lacks(Capability::registers);
}

Expected<std::vector<std::byte>> Vm::read_xsave(VcpuId vcpu) {
  XsaveAccess* access = driver_->xsave();
  return access ? access->read_xsave(vcpu) : lacks(Capability::xsave);
}

Expected<AddressSpace> Vm::address_space(VcpuId vcpu) {
  const auto registers = read_registers(vcpu);
  return registers ? AddressSpace::of(*registers) : std::unexpected(registers.error());
}

Expected<void> Vm::intercept(VcpuId vcpu, const Intercept& what) {
  EventControl* events = driver_->events();
  return events ? events->intercept(vcpu, what) : lacks(Capability::events);
}

Expected<void> Vm::release(VcpuId vcpu, const Intercept& what) {
  EventControl* events = driver_->events();
  return events ? events->release(vcpu, what) : lacks(Capability::events);
}

Expected<Event> Vm::next_event(const Wait& wait) {
  EventControl* events = driver_->events();
  return events ? events->next(wait) : lacks(Capability::events);
}

Expected<void> Vm::inject(VcpuId vcpu, const Exception& exception) {
  Injection* injection = driver_->injection();
  return injection ? injection->inject(vcpu, exception) : lacks(Capability::injection);
}

Expected<PageAccessControl*> Vm::page_access() {
  PageAccessControl* control = driver_->page_access();
  if (!control) return lacks(Capability::page_access);
  return control;
}

Expected<DirtyPages*> Vm::dirty_pages() {
  DirtyPages* pages = driver_->dirty_pages();
  if (!pages) return lacks(Capability::dirty_pages);
  return pages;
}

}  // namespace microvmi
