// SPDX-License-Identifier: Apache-2.0
// The headers of an ELF core of either class, checked against the file they are in.
#pragma once

#include <cstdint>
#include <vector>

#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

struct Segment {
  std::uint32_t type = 0;
  std::uint32_t flags = 0;
  std::uint64_t offset = 0;
  std::uint64_t vaddr = 0;
  std::uint64_t paddr = 0;
  std::uint64_t filesz = 0;
  std::uint64_t memsz = 0;
};

struct ElfHeaders {
  unsigned bits = 0;  // 32 or 64: the class of the file, not the guest's mode
  std::uint16_t machine = 0;
  std::vector<Segment> loads{};  // PT_LOAD with any data, in the order of the file
  std::vector<Segment> notes{};  // PT_NOTE
};

[[nodiscard]] Expected<ElfHeaders> read_elf_headers(const Source& source);

}  // namespace microvmi::coredump_connector
