// SPDX-License-Identifier: Apache-2.0
// The headers of an ELF64 core that holds guest memory, as the ELF specification lays them out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dump/layout.hpp"

namespace microvmi::dumper {

// How many bytes of headers come before the data where there are this many pieces.
[[nodiscard]] std::uint64_t elf_header_size(std::size_t pieces, std::uint64_t note_size);

// Some bytes and where in the file they belong.
struct Patch {
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes{};
};

// The e_machine of an architecture as GuestInfo's fact of that name has it; x86-64, which every
// driver but those of QEMU stands for, where there is none.
[[nodiscard]] std::uint16_t elf_machine(std::string_view architecture);

// The file's head; and, where pieces that came apart need more headers than there is room for, a
// second patch at `end` with the program headers.
[[nodiscard]] std::vector<Patch> elf_headers(std::span<const Piece> pieces,
                                             std::span<const std::byte> notes,
                                             std::uint64_t header_size, std::uint64_t end,
                                             std::uint16_t machine);

}  // namespace microvmi::dumper
