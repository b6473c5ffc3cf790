// SPDX-License-Identifier: Apache-2.0
// Candidates for each block, then those struck out that are certainly another's.
#include "qemu/placement.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace microvmi::qemu {
namespace {

using host::Mapping;

constexpr std::string_view kMemfd = "/memfd:";
constexpr std::string_view kDeleted = " (deleted)";

std::string_view without_deleted(std::string_view path) {
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return path;
}

std::string_view last_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// QEMU makes "qemu_back_mem.ID.RANDOM" in a folder, with '_' for each '/' of the id
// (system/physmem.c, file_ram_open). Of a file the name must be the same; its folder may be
// written in another way.
bool is_file_of(const RamBlock& block, std::string_view path) {
  path = without_deleted(path);
  std::string id = block.id;
  std::ranges::replace(id, '/', '_');
  const std::string_view name = last_name(path);
  if (name.starts_with("qemu_back_mem.")) {
    // Machine types up to 4.0 call it by its place in the object tree.
    return name.starts_with("qemu_back_mem." + id + ".") ||
           name.starts_with("qemu_back_mem._objects_" + id + ".");
  }
  return name == last_name(block.path);
}

bool is_kind_of(const RamBlock& block, const Mapping& mapping) {
  switch (block.kind) {
    case RamBackend::Kind::ram:
      // Shared anonymous memory is a file of the kernel's own; newer QEMUs take a memfd.
      return block.shared
                 ? mapping.path.starts_with("/dev/zero") || mapping.path.starts_with(kMemfd)
                 : mapping.inode == 0;
    case RamBackend::Kind::memfd:
      return mapping.path.starts_with(kMemfd) && !mapping.path.starts_with("/memfd:tcg-jit");
    case RamBackend::Kind::file:
      return mapping.inode != 0 && is_file_of(block, mapping.path);
    case RamBackend::Kind::other:
      return true;
  }
  return false;
}

bool is_named_by_kernel(const Mapping& mapping) {
  return mapping.path.starts_with('[') && !mapping.path.starts_with("[anon");
}

// A file in hugetlbfs is as long as its pages make it.
bool is_size_of(const RamBlock& block, std::uint64_t size) {
  const auto is_rounded = [&](std::uint64_t grain) {
    return size == (block.size + grain - 1) / grain * grain;
  };
  if (is_rounded(kPageSize)) return true;
  return block.kind == RamBackend::Kind::file && (is_rounded(2 * kMiB) || is_rounded(kGiB));
}

bool could_hold(const RamBlock& block, const Mapping& mapping) {
  return mapping.write && mapping.read && !mapping.execute && is_size_of(block, mapping.size()) &&
         mapping.shared == block.shared && !is_named_by_kernel(mapping) &&
         is_kind_of(block, mapping);
}

// Huge pages that were split by mlock, madvise or userfaultfd leave neighbours that are one block.
bool continues(const Mapping& before, const Mapping& after) {
  const bool same = before.end == after.start && before.read == after.read &&
                    before.write == after.write && before.execute == after.execute &&
                    before.shared == after.shared && before.inode == after.inode &&
                    before.dev_major == after.dev_major && before.dev_minor == after.dev_minor &&
                    before.path == after.path;
  return same && (before.inode == 0 || before.offset + before.size() == after.offset);
}

std::vector<Mapping> joined(std::span<const Mapping> maps) {
  std::vector<Mapping> out;
  for (const Mapping& one : maps) {
    if (!out.empty() && continues(out.back(), one))
      out.back().end = one.end;
    else
      out.push_back(one);
  }
  return out;
}

// Of hundreds of blocks each may fit into all of 65530 mappings, so that none is copied.
using Candidates = std::vector<const Mapping*>;

Candidates candidates_for(const RamBlock& block, std::span<const Mapping> maps,
                          std::span<const Mapping> joined_maps) {
  Candidates out;
  const auto add_from = [&](std::span<const Mapping> all) {
    for (const Mapping& one : all)
      if (could_hold(block, one)) out.push_back(&one);
  };
  add_from(maps);
  if (out.empty()) add_from(joined_maps);
  return out;
}

// A mapping that is the only one for some block is struck out everywhere else, until none is.
// Where there are more mappings than blocks, striking out never leaves one alone.
void settle(std::vector<Candidates>& candidates) {
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].size() != 1) continue;
      const std::uint64_t taken = candidates[i].front()->start;
      for (Candidates& others : candidates)
        if (others.size() > 1 && others.size() <= candidates.size())
          changed |= std::erase_if(others, [&](auto* one) { return one->start == taken; }) != 0;
    }
  }
}

Error none_for(const RamBlock& block) {
  return {.code = Errc::not_found,
          .message = fmt::format("no mapping of the process can be its memory \"{}\" of {} bytes",
                                 block.id, block.size),
          .hint = "start it with a QMP socket, which tells where its memory is"};
}

Error competing(const RamBlock& block, std::span<const Mapping* const> rivals) {
  std::string list;
  for (const Mapping* one : rivals.first(std::min<std::size_t>(rivals.size(), 8)))
    list += fmt::format("{}{:#x}-{:#x}{}{}", list.empty() ? "" : ", ", one->start, one->end,
                        one->path.empty() ? "" : " ", one->path);
  return {.code = Errc::not_supported,
          .message = fmt::format("{} mappings could each be its memory \"{}\" of {} bytes: {}",
                                 rivals.size(), block.id, block.size, list),
          .hint =
              "start it with a QMP socket, or with memory-backend-file objects, whose files "
              "tell them apart"};
}

}  // namespace

Expected<std::vector<std::uint64_t>> find_blocks(std::span<const RamBlock> blocks,
                                                 std::span<const Mapping> maps) {
  const std::vector<Mapping> runs = joined(maps);
  std::vector<Candidates> candidates;
  candidates.reserve(blocks.size());
  for (const RamBlock& block : blocks) candidates.push_back(candidates_for(block, maps, runs));
  settle(candidates);
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (candidates[i].empty()) return std::unexpected(none_for(blocks[i]));
    if (candidates[i].size() > 1) return std::unexpected(competing(blocks[i], candidates[i]));
    const std::uint64_t start = candidates[i].front()->start;
    // Two blocks that both have but this one left: one of them has none.
    if (std::ranges::find(out, start) != out.end()) return std::unexpected(none_for(blocks[i]));
    out.push_back(start);
  }
  return out;
}

bool uses_kvm(std::span<const Mapping> maps) {
  return std::ranges::any_of(
      maps, [](const Mapping& one) { return one.path.starts_with("anon_inode:kvm-vcpu"); });
}

host::Layout place(const GuestLayout& layout, std::span<const std::uint64_t> addresses) {
  host::Layout out{.exact = layout.exact};
  for (const Extent& one : layout.extents)
    out.segments.push_back({.gpa = Gpa{one.gpa},
                            .size = one.size,
                            .hva = addresses[one.block] + one.offset,
                            .kind = one.kind});
  return out;
}

}  // namespace microvmi::qemu
