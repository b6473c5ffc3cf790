// SPDX-License-Identifier: Apache-2.0
// Machine: which of QEMU's boards a guest has, as far as its memory goes.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "qemu/command_line.hpp"

namespace microvmi::qemu {

enum class Board : std::uint8_t { i440fx, q35, isapc, microvm, arm_virt, riscv_virt };

struct MachineVersion {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  auto operator<=>(const MachineVersion&) const = default;
};

struct Machine {
  Board board{};
  std::string name;  // as written, or the default of the program
  // Of pc-q35-7.2; not of "pc", which means the newest that the QEMU has.
  std::optional<MachineVersion> version = std::nullopt;
};

// `program` is the file that runs: which machines there are, and which is the default, depends on
// the guest architecture in its name. A program without one is taken for an x86 QEMU if its
// machine is one of x86. Errc::not_supported for boards whose layout is not known here.
[[nodiscard]] Expected<Machine> machine_of(const CommandLine& line, std::string_view program);

// "x86_64", "aarch64", "riscv": the guest's architecture, as the program's name or its board tells;
// empty where neither does.
[[nodiscard]] std::string architecture_of(const CommandLine& line, std::string_view program);

// The id of the RAM block that -m alone makes.
[[nodiscard]] const char* default_ram_id(Board board);

}  // namespace microvmi::qemu
