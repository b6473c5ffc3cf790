// SPDX-License-Identifier: Apache-2.0
// What the notes of an ELF core say: who wrote it, and of how many vCPUs it has the state.
#pragma once

#include <optional>
#include <string>

#include "connector/coredump/elf_headers.hpp"

namespace microvmi::coredump_connector {

struct ElfNotes {
  std::optional<std::string> writer = std::nullopt;
  std::optional<std::string> vm_name = std::nullopt;
  std::optional<std::uint32_t> vcpus = std::nullopt;
  bool has_vmcoreinfo = false;
  bool is_of_a_program = false;  // NT_AUXV or NT_FILE: the core of one process
};

// What is cut off or wrong is passed over: notes are a help, the memory is there without them.
[[nodiscard]] ElfNotes read_elf_notes(const Source& source, const ElfHeaders& headers);

}  // namespace microvmi::coredump_connector
