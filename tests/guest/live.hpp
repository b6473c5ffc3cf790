// SPDX-License-Identifier: Apache-2.0
// What the tests of live guests open and compare with.
#pragma once

#include <gmock/gmock.h>

#include "microvmi/init.hpp"
#include "support/sizes.hpp"
#include "support/tiny_guest.hpp"

namespace microvmi::test {

// As a user opens them: memflow.qemu-procfs.pid, memflow.qemu-procfs.vm-name.
[[nodiscard]] std::expected<Vm, InitError> open_pid(pid_t pid);
[[nodiscard]] std::expected<Vm, InitError> open_name(const std::string& name);

[[nodiscard]] bool can(const Vm& vm, Capability wanted);

// Of a guest that is stopped: what we read against what QEMU saves.
[[nodiscard]] testing::AssertionResult same_as_qemu(QemuGuest& qemu, const Vm& vm, Gpa gpa,
                                                    std::uint64_t size);

// All of it where it is small, else its ends and pieces in between.
[[nodiscard]] testing::AssertionResult samples_same_as_qemu(QemuGuest& qemu, const Vm& vm,
                                                            const MemoryRegion& region);

// Every stamped page against the rule of the stamps, and their sum against the guest's own.
[[nodiscard]] testing::AssertionResult stamps_are_read(TinyGuest& guest, const Vm& vm,
                                                       const TinyStamped& range);
[[nodiscard]] testing::AssertionResult all_stamps_are_read(TinyGuest& guest, const Vm& vm);

// Between 0xC0000 and 1 MiB a guest's firmware makes RAM of ROM, which only the monitor can tell.
enum class Shadow : std::uint8_t { known, unknown };

// Our RAM is QEMU's RAM, region by region.
[[nodiscard]] testing::AssertionResult map_is_that_of_qemu(QemuGuest& qemu, const Vm& vm,
                                                           Shadow shadow = Shadow::known);

}  // namespace microvmi::test
