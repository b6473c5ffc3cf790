// SPDX-License-Identifier: Apache-2.0
// The rules of QEMU's boards (qemu/split.hpp), with what a stream tells in place of a command line.
#include "connector/coredump/stream_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "qemu/machine.hpp"
#include "qemu/split.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kFourGiB = 1ULL << 32;

const StreamBlock* find(const StreamRam& ram, std::string_view name) {
  const auto found = std::ranges::find(ram.blocks, name, &StreamBlock::name);
  return found == ram.blocks.end() ? nullptr : &*found;
}

// What a machine is called alone does not tell the architecture; the name of its RAM does.
const char* program_of(const StreamRam& ram) {
  if (find(ram, "mach-virt.ram")) return "qemu-system-aarch64";
  if (find(ram, "riscv_virt_board.ram")) return "qemu-system-riscv64";
  return "qemu-system-x86_64";
}

// A block that the user made: its name is its path as an object, or "ram-node0" of old.
bool is_backend(const StreamBlock& block) {
  return block.name.starts_with("/objects/") || block.name.starts_with("ram-node");
}

Expected<const StreamBlock*> main_ram(const Source& source, const StreamRam& ram,
                                      const qemu::Machine& machine) {
  if (const StreamBlock* usual = find(ram, qemu::default_ram_id(machine.board))) return usual;
  const auto count = std::ranges::count_if(ram.blocks, is_backend);
  if (count == 1) return &*std::ranges::find_if(ram.blocks, is_backend);
  std::string names;
  for (const StreamBlock& one : ram.blocks) names += (names.empty() ? "" : ", ") + one.name;
  return fail(Errc::not_supported,
              fmt::format("{} has {} blocks of RAM that may be the guest's main one, of: {}",
                          source.name(), count, names),
              {}, "dump-guest-memory makes an ELF core, which tells where each is");
}

// Whether the firmware runs from RAM: its first instruction is there, at the end of the first MiB.
bool is_shadowed(const Source& source, const StreamRam& ram, std::uint32_t block) {
  constexpr std::uint64_t kPage = qemu::kShadowedReset / kPageSize;
  std::byte first{};
  for (const StreamRun& run : ram.runs) {
    if (run.block != block || kPage < run.page || kPage - run.page >= run.count) continue;
    first = std::byte{run.fill};
    const std::uint64_t at = run.offset + (kPage - run.page) * run.stride;
    if (run.stride != 0 && !source.get(at + qemu::kShadowedReset % kPageSize, first)) return false;
  }
  return first != std::byte{};
}

bool is_display(const StreamBlock& block) {
  return block.name.find("vga") != std::string::npos ||
         block.name.find("vram") != std::string::npos;
}

// -bios and pflash of the PC: they end at 4 GiB, the second one before the first (pc_sysfw.c).
void place_firmware(StreamLayout& out, const StreamRam& ram) {
  std::uint64_t end = kFourGiB;
  for (const char* name : {"pc.bios", "system.flash0", "system.flash1"}) {
    const StreamBlock* const block = find(ram, name);
    if (!block || block->size > end || block->size % kPageSize != 0) continue;
    end -= block->size;
    out.places.push_back({end, block->size, static_cast<std::uint32_t>(block - ram.blocks.data()),
                          0, MemoryRegion::Kind::rom});
  }
}

// Blocks that are memory of the guest, where they are more than firmware and displays.
void tell_unplaced(StreamLayout& out, const StreamRam& ram, const StreamBlock* main) {
  for (const StreamBlock& one : ram.blocks)
    if (&one != main && is_backend(one)) out.unplaced.push_back(one.name);
}

}  // namespace

Expected<StreamLayout> lay_out(const Source& source, const StreamRam& ram) {
  qemu::CommandLine line;
  if (!ram.machine.empty()) line.machine.add("type", ram.machine);
  line.no_defaults = true;
  if (std::ranges::any_of(ram.blocks, is_display)) line.vga = "std";
  const auto machine = qemu::machine_of(line, program_of(ram));
  if (!machine)
    return fail(Errc::not_supported,
                source.name() + " is a migration stream of the machine \"" + ram.machine +
                    "\", whose memory layout is not known here",
                {}, "dump-guest-memory makes an ELF core, which tells it");
  const auto main = main_ram(source, ram, *machine);
  if (!main) return std::unexpected(main.error());
  const auto index = static_cast<std::uint32_t>(*main - ram.blocks.data());
  line.memory = (*main)->size;
  const qemu::LayoutFacts facts{.bios_shadowed = is_shadowed(source, ram, index)};
  const auto split = qemu::split_ram(line, *machine, facts, (*main)->size);
  if (!split) return std::unexpected(split.error());
  StreamLayout out;
  out.architecture = qemu::architecture_of(line, program_of(ram));
  for (const qemu::Run& run : split->runs)
    out.places.push_back({run.gpa, run.size, index, run.offset, run.kind});
  if (out.architecture == "x86_64") place_firmware(out, ram);
  tell_unplaced(out, ram, *main);
  return out;
}

}  // namespace microvmi::coredump_connector
