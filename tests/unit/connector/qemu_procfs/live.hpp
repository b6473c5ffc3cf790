// SPDX-License-Identifier: Apache-2.0
// Small helpers for tests that open a real QEMU through init().
#pragma once

#include "microvmi/init.hpp"
#include "support/qemu_guest.hpp"

namespace microvmi::test {

inline std::uint32_t pid_of(const QemuGuest& guest) {
  return static_cast<std::uint32_t>(guest.pid());
}

// A guest whose CPU never runs, so that it costs nothing.
inline QemuOptions still_guest(std::string name, Monitor monitor = Monitor::absolute) {
  return {.memory = "64M", .name = std::move(name), .monitor = monitor, .started = false};
}

inline std::expected<Vm, InitError> open_with(QemuProcfsParams args, InitOptions options = {}) {
  return init(DriverType::memflow,
              DriverInitParams{.memflow = MemflowInitParams{.args = std::move(args)}}, options);
}

inline std::expected<Vm, InitError> open_pid(const QemuGuest& guest) {
  return open_with({.pid = *Pid::of(pid_of(guest))});
}

// The text of a fact; empty where there is none.
inline std::string fact(const GuestInfo& info, const std::string& name) {
  for (const Fact& one : info.facts)
    if (const auto* text = std::get_if<std::string>(&one.value); text && one.name == name)
      return *text;
  return {};
}

}  // namespace microvmi::test
