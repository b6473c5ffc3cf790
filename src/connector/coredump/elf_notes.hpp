// SPDX-License-Identifier: Apache-2.0
// What the notes of an ELF core say: who wrote it, the state of each vCPU, what the kernel tells.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connector/coredump/elf_headers.hpp"

namespace microvmi::coredump_connector {

struct ElfNotes {
  std::optional<std::string> writer = std::nullopt;
  std::optional<std::string> vm_name = std::nullopt;
  std::optional<std::uint32_t> vcpus = std::nullopt;
  std::vector<Registers> registers{};  // of each vCPU; empty where none is readable
  std::optional<std::string> vmcoreinfo = std::nullopt;
  std::vector<std::byte> windows_header{};  // of a crash dump, which Windows gave in VMCOREINFO
  bool is_of_a_program = false;             // NT_AUXV or NT_FILE: the core of one process
};

// What is cut off or wrong is passed over: notes are a help, the memory is there without them. A
// note of kdump-compressed files is the same, in a segment without any memory.
[[nodiscard]] ElfNotes read_elf_notes(const Source& source, const std::vector<Segment>& segments);

}  // namespace microvmi::coredump_connector
