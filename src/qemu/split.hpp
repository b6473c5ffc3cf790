// SPDX-License-Identifier: Apache-2.0
// How a board splits its main RAM over the guest-physical address space.
#pragma once

#include "qemu/layout.hpp"

namespace microvmi::qemu {

// A run of main RAM; `offset` counts through all blocks of it as if they were one.
struct Run {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
  MemoryRegion::Kind kind = MemoryRegion::Kind::ram;
};

struct Split {
  std::vector<Run> runs{};          // empty ones are left out
  std::uint64_t device_memory = 0;  // where DIMMs go; 0 where the board takes none
  std::vector<std::string> notes{};
};

[[nodiscard]] Expected<Split> split_ram(const CommandLine& line, const Machine& machine,
                                        const LayoutFacts& facts, std::uint64_t size);

// Whether a vCPU says AuthenticAMD.
[[nodiscard]] bool has_amd_vcpus(const CommandLine& line, const LayoutFacts& facts);

}  // namespace microvmi::qemu
