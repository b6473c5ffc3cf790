// SPDX-License-Identifier: Apache-2.0
// Vm: missing capabilities become errors, and pauses nest.
#include "microvmi/vm.hpp"

#include <string>

namespace microvmi {

Vm::~Vm() {
  if (driver_ && pauses_ != 0 && was_running_)
    static_cast<void>(driver_->run_control()->resume().has_value());
}

std::vector<Capability> Vm::capabilities() const {
  std::vector<Capability> out;
  if (memory().writable()) out.push_back(Capability::memory_write);
  if (memory().viewable()) out.push_back(Capability::memory_view);
  if (driver_->run_control()) out.push_back(Capability::run_control);
  if (driver_->registers()) out.push_back(Capability::registers);
  if (driver_->events()) out.push_back(Capability::events);
  return out;
}

std::unexpected<Error> Vm::lacks(Capability capability) const {
  return fail(Errc::not_supported, std::string("driver ") + name_of(type_) + " has no " +
                                       kCapabilityNames[static_cast<std::size_t>(capability)]);
}

Expected<void> Vm::pause() {
  RunControl* control = driver_->run_control();
  if (!control) return lacks(Capability::run_control);
  if (pauses_ == 0) {
    const auto running = control->running();
    if (!running) return std::unexpected(running.error());
    was_running_ = *running;
    if (auto done = was_running_ ? control->pause() : Expected<void>{}; !done) return done;
  }
  ++pauses_;
  return {};
}

Expected<void> Vm::resume() {
  RunControl* control = driver_->run_control();
  if (!control) return lacks(Capability::run_control);
  if (pauses_ == 0) return fail(Errc::busy, "resume without a pause");
  if (pauses_ == 1 && was_running_)
    if (auto done = control->resume(); !done) return done;
  --pauses_;
  return {};
}

Expected<Registers> Vm::read_registers(VcpuId vcpu) {
  RegisterAccess* access = driver_->registers();
  return access ? access->read(vcpu) : lacks(Capability::registers);
}

Expected<void> Vm::write_registers(VcpuId vcpu, const Registers& registers) {
  RegisterAccess* access = driver_->registers();
  return access ? access->write(vcpu, registers) : lacks(Capability::registers);
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

}  // namespace microvmi
