// SPDX-License-Identifier: Apache-2.0
// A tiny guest opened by the qemu driver, and what the tests of it share.
#pragma once

#include <gmock/gmock.h>

#include <thread>

#include "microvmi/init.hpp"
#include "support/tiny_guest.hpp"

namespace microvmi::test {

using Opened = std::expected<Vm, InitError>;

// As a user opens it: qemu.pid.
inline Opened open_driver(const QemuGuest& guest, QemuInitParams params = {}) {
  params.pid = *Pid::of(static_cast<std::uint32_t>(guest.pid()));
  return init(DriverType::qemu, DriverInitParams{.qemu = std::move(params)});
}

// -gdb on a socket in the guest's own folder, which becomes its working directory.
inline const std::vector<std::string> kWithStub{"-gdb", "unix:gdb,server=on,wait=off"};

// The word that grows while the guest runs.
inline std::uint64_t counter_of(const Vm& vm, const TinyGuest& guest) {
  return vm.memory().read_value<std::uint64_t>(Gpa{guest.truth().counter}).value_or(0);
}

// Whether it grows within a generous time.
inline bool runs(const Vm& vm, const TinyGuest& guest) {
  const std::uint64_t before = counter_of(vm, guest);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < end) {
    if (counter_of(vm, guest) != before) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

// What the guest printed of itself must be what was read, where both know it.
inline void expect_registers(const Registers& read, const TinyTruth& truth) {
  for (const RegisterInfo& info : kRegisters) {
    const auto printed = truth.registers.find(info.name);
    if (printed == truth.registers.end() || !read[info.reg]) continue;
    EXPECT_EQ(*read[info.reg], printed->second) << info.name;
  }
}

}  // namespace microvmi::test
