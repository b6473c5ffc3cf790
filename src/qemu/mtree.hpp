// SPDX-License-Identifier: Apache-2.0
// The guest's physical address space as `info mtree -f` prints it.
#pragma once

#include <cstdint>
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

// Whether `region` is the memory region of the backend `id`: "pc.ram", "mem0" and, for machine
// types before 4.0, "/objects/mem0".
[[nodiscard]] bool is_region_of(std::string_view region, std::string_view id);

}  // namespace microvmi::qemu
