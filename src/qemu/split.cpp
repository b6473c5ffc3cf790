// SPDX-License-Identifier: Apache-2.0
// Low and high RAM of the x86 boards, the area below 1 MiB, the AMD rule at 1 TiB, virt.
#include "qemu/split.hpp"

#include <algorithm>
#include <array>

namespace microvmi::qemu {
namespace {

constexpr std::uint64_t k4GiB = 4 * kGiB;

bool is_pc(Board board) {
  return board == Board::i440fx || board == Board::q35 || board == Board::isapc;
}

// pc_piix.c, pc_init1: 3.5 GiB of low RAM; if there is more, 3 GiB, since version 2.0.
std::uint64_t low_of_i440fx(const Machine& machine, std::uint64_t size, std::uint64_t most) {
  const bool old =
      machine.board == Board::isapc || (machine.version && *machine.version < MachineVersion{2, 0});
  std::uint64_t low = most != 0 ? most : 0xe0000000;
  if (size >= low && !old) low = std::min<std::uint64_t>(low, 0xc0000000);
  return std::min(low, size);
}

// pc_q35.c, pc_q35_init: 2.75 GiB of low RAM; if there is more, 2 GiB.
std::uint64_t low_of_q35(std::uint64_t size, std::uint64_t most) {
  std::uint64_t low = size >= 0xb0000000 ? 0x80000000 : 0xb0000000;
  if (most != 0) low = std::min(low, most);
  return std::min(low, size);
}

Expected<std::uint64_t> low_ram(const CommandLine& line, const Machine& machine,
                                std::uint64_t size) {
  if (machine.board == Board::microvm) return std::min<std::uint64_t>(size, 0xc0000000);
  std::uint64_t most = 0;
  if (const auto text = line.machine.get("max-ram-below-4g")) {
    const auto parsed = parse_size(*text);
    if (!parsed || *parsed > k4GiB)
      return fail(Errc::invalid_argument,
                  "max-ram-below-4g=" + std::string(*text) + " is no size up to 4 GiB");
    most = *parsed;
  }
  return machine.board == Board::q35 ? low_of_q35(size, most) : low_of_i440fx(machine, size, most);
}

// The last address that 64-bit PCI windows may take (pc.c, pc_max_used_gpa), were the RAM above
// 4 GiB to start there.
std::uint64_t last_used(const CommandLine& line, const Machine& machine, std::uint64_t high) {
  std::uint64_t window = 0;
  if (machine.board == Board::i440fx) window = 2 * kGiB;  // pci-host/i440fx.c
  if (machine.board == Board::q35) window = 32 * kGiB;    // include/hw/pci-host/q35.h
  std::uint64_t start = k4GiB + high;
  const std::uint64_t size = line.memory.value_or(0);
  if (line.max_memory && *line.max_memory > size)
    start = round_up(start, kGiB) + (*line.max_memory - size) + line.slots * kGiB;
  return round_up(start, kGiB) + window - 1;
}

// Since version 7.1 the RAM of an AMD guest that would reach the HyperTransport range below 1 TiB
// goes behind it (pc.c, AMD_HT_START and AMD_ABOVE_1TB_START).
Expected<std::uint64_t> high_start(const CommandLine& line, const Machine& machine,
                                   const LayoutFacts& facts, std::uint64_t high) {
  constexpr std::uint64_t kReserved = 0xfd00000000;
  constexpr MachineVersion kFirst{7, 1};
  constexpr std::uint64_t kSane = 512 * kTiB;  // more than any x86 CPU addresses
  if (!is_pc(machine.board) || !has_amd_vcpus(line, facts)) return k4GiB;
  if (high > kSane || line.slots > 4096 || line.max_memory.value_or(0) > kSane)
    return fail(Errc::invalid_argument, "more memory than an x86 machine can have");
  if (line.hole64_changed)
    return fail(Errc::not_supported, "-global pci-hole64-size= may move the RAM above 4 GiB", {},
                "start it with a QMP socket, which tells the layout");
  if (last_used(line, machine, high) < kReserved) return k4GiB;
  const auto version = machine.version ? machine.version : facts.qemu_version;
  if (!version)
    return fail(Errc::not_supported,
                "machine \"" + machine.name +
                    "\" has its RAM above 4 GiB at 4 GiB or at 1 TiB, "
                    "which depends on the version of QEMU",
                {}, "start it with a QMP socket, or with a machine such as pc-q35-7.2");
  return *version >= kFirst ? kTiB : k4GiB;
}

// A display that answers at 0xa0000, unless it is sure that there is none.
bool has_vga(const CommandLine& line) {
  const bool without = line.vga ? *line.vga == "none" : line.no_defaults;
  if (!without) return true;
  return std::ranges::any_of(line.devices, [](const Device& one) {
    for (const char* part : {"vga", "VGA", "vfio"})
      if (one.driver.find(part) != std::string::npos) return true;
    return false;
  });
}

// What is RAM below 1 MiB, as ranges of both address and offset.
std::vector<Run> first_mib(const CommandLine& line, const Machine& machine,
                           const LayoutFacts& facts) {
  constexpr std::uint64_t kVga = 0xa0000;
  constexpr std::uint64_t kOptionRoms = 0xc0000;
  constexpr std::uint64_t kIsaBios = 0xf0000;    // qboot's 64 KiB
  constexpr std::uint64_t kLargeBios = 0xe0000;  // 128 KiB is the most that is mapped here
  if (machine.board == Board::microvm) return {{0, line.own_bios ? kLargeBios : kIsaBios, 0}};
  std::vector<Run> out{{0, has_vga(line) ? kVga : kOptionRoms, 0}};
  if (facts.bios_shadowed && machine.board != Board::isapc)
    out.push_back({kOptionRoms, kMiB - kOptionRoms, kOptionRoms, MemoryRegion::Kind::rom});
  return out;
}

void add(Split& split, Run run, std::uint64_t end) {
  if (run.gpa >= end) return;
  run.size = std::min(run.size, end - run.gpa);
  if (run.size != 0) split.runs.push_back(run);
}

Expected<Split> split_x86(const CommandLine& line, const Machine& machine, const LayoutFacts& facts,
                          std::uint64_t size) {
  const auto low = low_ram(line, machine, size);
  if (!low) return std::unexpected(low.error());
  const auto start = high_start(line, machine, facts, size - *low);
  if (!start) return std::unexpected(start.error());
  Split out;
  for (const Run& run : first_mib(line, machine, facts)) add(out, run, *low);
  add(out, {kMiB, *low, kMiB}, *low);
  if (size > *low) out.runs.push_back({*start, size - *low, *low});
  if (machine.board != Board::microvm) out.device_memory = round_up(*start + size - *low, kGiB);
  if (machine.board == Board::microvm && line.own_bios)
    out.notes.emplace_back("-bios may leave 64 KiB more RAM below 1 MiB");
  return out;
}

}  // namespace

bool has_amd_vcpus(const CommandLine& line, const LayoutFacts& facts) {
  // The models of target/i386/cpu.c whose vendor is AMD; max has it without KVM.
  constexpr std::array<std::string_view, 6> kModels{"qemu64",  "phenom", "athlon",
                                                    "Opteron", "EPYC",   "max"};
  if (const auto vendor = line.cpu.get("vendor")) return *vendor == "AuthenticAMD";
  if (facts.kvm) return facts.host_is_amd;
  const std::string model = line.cpu.text("model");
  if (model.empty()) return true;  // qemu64
  return std::ranges::any_of(kModels, [&](std::string_view one) { return model.starts_with(one); });
}

Expected<Split> split_ram(const CommandLine& line, const Machine& machine, const LayoutFacts& facts,
                          std::uint64_t size) {
  constexpr std::uint64_t kArmRam = kGiB;        // hw/arm/virt.c, base_memmap[VIRT_MEM]
  constexpr std::uint64_t kRiscvRam = 2 * kGiB;  // hw/riscv/virt.c, virt_memmap[VIRT_DRAM]
  constexpr std::uint64_t kMost = std::uint64_t{1} << 56U;  // of any architecture here
  if (size == 0 || size > kMost)
    return fail(Errc::invalid_argument, std::to_string(size) + " bytes of memory cannot be");
  switch (machine.board) {
    case Board::arm_virt:
      return Split{.runs = {{kArmRam, size, 0}}, .device_memory = round_up(kArmRam + size, kGiB)};
    case Board::riscv_virt:
      return Split{.runs = {{kRiscvRam, size, 0}}};
    default:
      return split_x86(line, machine, facts, size);
  }
}

}  // namespace microvmi::qemu
