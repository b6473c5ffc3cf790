// SPDX-License-Identifier: Apache-2.0
// RAM blocks of a command line, and their extents.
#include "qemu/layout.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "qemu/memory_devices.hpp"
#include "qemu/split.hpp"

namespace microvmi::qemu {
namespace {

constexpr const char* kAskMonitor = "start it with a QMP socket, which tells the layout";

// A running QEMU has accepted its command line, so what is not understood here is our lack.
Expected<void> understood(const CommandLine& line) {
  if (!line.encryption.empty())
    return fail(Errc::not_supported,
                fmt::format("the guest's memory is encrypted ({})", line.encryption.front()));
  if (!line.problems.empty())
    return fail(
        Errc::not_supported,
        fmt::format("its command line is not understood: {}", fmt::join(line.problems, "; ")), {},
        kAskMonitor);
  if (!line.elsewhere.empty())
    return fail(
        Errc::not_supported,
        fmt::format("its memory layout may partly be in {}", fmt::join(line.elsewhere, " and ")),
        {}, kAskMonitor);
  return {};
}

// Main RAM as extents: each run goes through the blocks that it touches.
void place_runs(const std::vector<Run>& runs, GuestLayout& out) {
  for (const Run& run : runs) {
    std::uint64_t start = 0;  // of the block, in all of main RAM
    for (std::size_t i = 0; i < out.blocks.size(); ++i) {
      const std::uint64_t end = start + out.blocks[i].size;
      const std::uint64_t from = std::max(run.offset, start);
      const std::uint64_t to = std::min(run.offset + run.size, end);
      if (from < to)
        out.extents.push_back(
            {run.gpa + (from - run.offset), to - from, i, from - start, run.kind});
      start = end;
    }
  }
}

bool is_apart(const std::vector<Extent>& extents) {
  for (std::size_t i = 1; i < extents.size(); ++i)
    if (extents[i].gpa < extents[i - 1].gpa + extents[i - 1].size) return false;
  return true;
}

}  // namespace

Expected<std::vector<RamBlock>> main_blocks(const CommandLine& line, std::string default_id) {
  constexpr std::uint64_t kDefault = 128 * kMiB;  // hw/core/machine.c, default_ram_size
  constexpr std::size_t kMostNodes = 128;         // include/sysemu/numa.h, MAX_NODES
  std::vector<std::string> ids = line.numa_memdevs;
  if (const auto id = line.machine.get("memory-backend"); id && !id->empty() && ids.empty())
    ids.emplace_back(*id);
  if (ids.size() > kMostNodes) return fail(Errc::invalid_argument, "too many NUMA nodes");
  std::vector<RamBlock> out;
  for (const std::string& id : ids) {
    const RamBackend* backend = line.backend(id);
    if (!backend)
      return fail(Errc::not_supported, "memory backend \"" + id + "\" has no -object", {},
                  kAskMonitor);
    out.push_back({id, backend->size, backend->kind, backend->shared, backend->path});
  }
  if (!out.empty()) return out;
  RamBlock block{.id = std::move(default_id), .size = line.memory.value_or(kDefault)};
  if (!line.mem_path.empty()) {
    block.kind = RamBackend::Kind::file;
    block.path = line.mem_path;
  }
  return std::vector{std::move(block)};
}

Expected<GuestLayout> derive_layout(const CommandLine& line, const Machine& machine,
                                    const LayoutFacts& facts) {
  if (auto done = understood(line); !done) return std::unexpected(done.error());
  auto blocks = main_blocks(line, default_ram_id(machine.board));
  if (!blocks) return std::unexpected(blocks.error());
  std::uint64_t size = 0;
  for (const RamBlock& block : *blocks) {
    if (block.size > UINT64_MAX - size) return fail(Errc::invalid_argument, "sizes overflow");
    size += block.size;
  }
  if (line.memory && *line.memory != size && !line.numa_memdevs.empty())
    return fail(Errc::not_supported,
                fmt::format("-m tells {} bytes, its NUMA nodes {}", *line.memory, size), {},
                kAskMonitor);
  auto split = split_ram(line, machine, facts, size);
  if (!split) return std::unexpected(split.error());
  GuestLayout out{.blocks = *std::move(blocks), .notes = std::move(split->notes)};
  place_runs(split->runs, out);
  if (auto done = add_memory_devices(line, split->device_memory, out); !done)
    return std::unexpected(done.error());
  std::ranges::sort(out.extents, {}, &Extent::gpa);
  if (!is_apart(out.extents))
    return fail(Errc::not_supported, "its memory devices overlap", {}, kAskMonitor);
  if (line.slots != 0)
    out.notes.emplace_back("memory that was plugged in or out since the start is not seen");
  out.exact = out.notes.empty();
  return out;
}

}  // namespace microvmi::qemu
