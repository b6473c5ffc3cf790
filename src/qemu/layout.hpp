// SPDX-License-Identifier: Apache-2.0
// GuestLayout: where a guest's RAM is in its physical address space, from the command line alone.
//
// The rules are those of QEMU's boards (hw/i386/pc_piix.c, pc_q35.c, pc.c, microvm.c,
// hw/arm/virt.c, hw/riscv/virt.c, hw/mem/memory-device.c); a live test compares them with what
// QEMU itself tells.
#pragma once

#include <string>
#include <vector>

#include "microvmi/memory.hpp"
#include "qemu/command_line.hpp"
#include "qemu/machine.hpp"

namespace microvmi::qemu {

// Guest RAM as QEMU allocates it: each block is one mapping of its process.
struct RamBlock {
  std::string id;
  std::uint64_t size = 0;
  RamBackend::Kind kind = RamBackend::Kind::ram;
  bool shared = false;
  std::string path{};  // of Kind::file, as written: the file, or the folder it is in
};

struct Extent {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::size_t block = 0;     // index in GuestLayout::blocks
  std::uint64_t offset = 0;  // in the block
  MemoryRegion::Kind kind = MemoryRegion::Kind::ram;
  bool operator==(const Extent&) const = default;
};

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t grain) {
  return (value + grain - 1) / grain * grain;
}

struct GuestLayout {
  std::vector<RamBlock> blocks{};
  std::vector<Extent> extents{};  // sorted, apart from each other
  bool exact = true;
  std::vector<std::string> notes{};  // why it is not exact
};

// What the command line does not tell.
struct LayoutFacts {
  bool kvm = false;          // then a vCPU has the host's vendor
  bool host_is_amd = false;  // AuthenticAMD in /proc/cpuinfo
  // The firmware has copied itself into RAM, so that 0xc0000-0xfffff is that RAM. The chipset can
  // make it read-only in steps of 16 KiB, which only QEMU knows: all of it is called rom.
  bool bios_shadowed = false;
  std::optional<MachineVersion> qemu_version = std::nullopt;  // what "pc" stands for
};

// Errc::not_supported, with what would help, wherever a guess would be needed.
[[nodiscard]] Expected<GuestLayout> derive_layout(const CommandLine& line, const Machine& machine,
                                                  const LayoutFacts& facts);

// The blocks that -m, -numa and -machine memory-backend= make, in the order of their RAM; without
// those of memory devices. Needs no knowledge of the board's address space.
[[nodiscard]] Expected<std::vector<RamBlock>> main_blocks(const CommandLine& line,
                                                          std::string default_id);

// Where pc.ram holds the firmware's first instruction once it runs from there (IA-32: reset
// vector at the top of the first MiB); all zeros before that.
inline constexpr std::uint64_t kShadowedReset = 0xffff0;

}  // namespace microvmi::qemu
