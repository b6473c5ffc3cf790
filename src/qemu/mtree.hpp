// SPDX-License-Identifier: Apache-2.0
// The guest's physical address space as `info mtree -f` prints it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/address.hpp"
#include "microvmi/error.hpp"

namespace microvmi::qemu {

struct FlatRange {
  enum class Kind : std::uint8_t {
    ram,
    rom,         // memory that the guest cannot write, shadowed RAM among it
    romd,        // flash: reads are memory, writes are commands
    ram_device,  // memory of a passed-through device
    io,
  };

  Gpa gpa{};
  std::uint64_t size = 0;
  Kind kind = Kind::io;
  bool nonvolatile = false;
  std::string region{};      // the memory region; for guest RAM the id of its backend
  std::uint64_t offset = 0;  // of the range's first byte inside the region

  [[nodiscard]] Gpa end() const { return gpa + size; }
  bool operator==(const FlatRange&) const = default;
};

// The ranges of the address space "memory", sorted and apart from each other; neighbours that
// continue one region with one kind are one range. Any line that QEMU would not print is an error.
[[nodiscard]] Expected<std::vector<FlatRange>> parse_mtree(std::string_view text);

// Whether `region` is the memory region of the backend `id`: "mem0" or "/objects/mem0", which
// machine types up to 4.0 call a file or memfd backend.
[[nodiscard]] bool is_region_of(std::string_view region, std::string_view id);

// Keeps the ranges of the blocks named in `backends`: guest RAM and its read-only shadows. Nothing
// in the text tells RAM from a device's memory (vga.vram, pc.bios of isapc), so the caller names
// the blocks: every row of query-memdev, less those that the command line gives to a device such
// as ivshmem.
[[nodiscard]] std::vector<FlatRange> guest_ranges(std::span<const FlatRange> ranges,
                                                  std::span<const std::string> backends);

}  // namespace microvmi::qemu
