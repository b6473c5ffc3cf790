// SPDX-License-Identifier: Apache-2.0
// Names of machines, as hw/i386, hw/arm and hw/riscv register them.
#include "qemu/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace microvmi::qemu {
namespace {

enum class Arch : std::uint8_t { unknown, x86, arm, riscv, other };

// What follows qemu-system- in the program's name; empty where it has another name.
std::string_view target_of(std::string_view program) {
  constexpr std::string_view kPrefix = "qemu-system-";
  const std::size_t at = program.rfind(kPrefix);
  return at == std::string_view::npos ? "" : program.substr(at + kPrefix.size());
}

Arch arch_of(std::string_view program) {
  const std::string_view name = target_of(program);
  if (name.empty()) return Arch::unknown;
  if (name.starts_with("x86_64") || name.starts_with("i386")) return Arch::x86;
  if (name.starts_with("aarch64") || name.starts_with("arm")) return Arch::arm;
  if (name.starts_with("riscv")) return Arch::riscv;
  return Arch::other;
}

// "7.2" of "pc-q35-7.2"; distributions have names of their own, such as "pc-q35-rhel8.6.0".
std::optional<MachineVersion> version_in(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(dot + 1);
  const auto major = parse_number(text.substr(0, dot));
  const auto minor = parse_number(rest.substr(0, rest.find('.')));
  if (!major || !minor) return std::nullopt;
  return MachineVersion{*major, *minor};
}

struct Family {
  std::string_view name;  // alone, or followed by a dash and a version
  Arch arch;
  Board board;
};

constexpr std::array<Family, 7> kFamilies{{
    {"pc-i440fx", Arch::x86, Board::i440fx},
    {"pc-q35", Arch::x86, Board::q35},
    {"q35", Arch::x86, Board::q35},
    {"isapc", Arch::x86, Board::isapc},
    {"microvm", Arch::x86, Board::microvm},
    {"virt", Arch::arm, Board::arm_virt},
    {"virt", Arch::riscv, Board::riscv_virt},
}};

// "pc", or pc-0.12 to pc-1.3 of old.
bool is_old_pc(std::string_view name) {
  return name == "pc" || (name.starts_with("pc-") && version_in(name.substr(3)));
}

bool is_of(std::string_view name, const Family& family, Arch arch) {
  if (arch != family.arch && (arch != Arch::unknown || family.arch != Arch::x86)) return false;
  if (!name.starts_with(family.name)) return false;
  name.remove_prefix(family.name.size());
  return name.empty() || name.starts_with('-');
}

}  // namespace

Expected<Machine> machine_of(const CommandLine& line, std::string_view program) {
  const Arch arch = arch_of(program);
  const bool default_is_pc = arch == Arch::x86 || arch == Arch::unknown;
  std::string name = line.machine.text("type");
  if (name.empty() && default_is_pc) name = "pc";
  const bool old_pc = default_is_pc && is_old_pc(name);
  if (old_pc)
    return Machine{Board::i440fx, name, name == "pc" ? std::nullopt : version_in(name.substr(3))};
  const auto* const family =
      std::ranges::find_if(kFamilies, [&](const Family& one) { return is_of(name, one, arch); });
  if (family == kFamilies.end())
    return fail(Errc::not_supported,
                fmt::format("machine \"{}\" of {} has a memory layout that is not known here", name,
                            program),
                {}, "start it with a QMP socket, which tells the layout");
  const std::size_t version = std::min(family->name.size() + 1, name.size());
  return Machine{family->board, name, version_in(std::string_view(name).substr(version))};
}

std::string architecture_of(const CommandLine& line, std::string_view program) {
  const std::string_view target = target_of(program);
  if (target.starts_with("riscv")) return "riscv";  // an ELF core does not tell 32 from 64 by it
  if (!target.empty()) return std::string(target);
  return machine_of(line, program) ? "x86_64" : "";  // only boards of x86 go without such a name
}

const char* default_ram_id(Board board) {
  switch (board) {
    case Board::microvm:
      return "microvm.ram";
    case Board::arm_virt:
      return "mach-virt.ram";
    case Board::riscv_virt:
      return "riscv_virt_board.ram";
    default:
      return "pc.ram";
  }
}

}  // namespace microvmi::qemu
