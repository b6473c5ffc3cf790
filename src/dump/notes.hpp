// SPDX-License-Identifier: Apache-2.0
// The notes of a core: the state of the vCPUs as QEMU writes it, VMCOREINFO, and our own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "microvmi/registers.hpp"

namespace microvmi::dumper {

// The name of our own note; its text is JSON.
inline constexpr const char* kNoteName = "MICROVMI";

// What crash and makedumpfile know a kernel by may be found only while its memory goes by.
struct GuestState {
  std::vector<Registers> vcpus{};
  std::optional<std::string> vmcoreinfo = std::nullopt;
};

struct Notes {
  std::vector<std::byte> bytes{};
  std::uint64_t vmcoreinfo_at = 0;  // where its text begins
  std::uint64_t vmcoreinfo_size = 0;
};

// Of x86-64 for the registers: a note CORE and a note QEMU for each vCPU. Then VMCOREINFO, then
// ours with `text`.
[[nodiscard]] Notes make_notes(const GuestState& state, const std::string& text);

// Of vCPUs that follow each other: those registers of the note QEMU that stand there as 0 because
// nobody knows them. Our own note names them.
struct UnknownRegisters {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  Registers::Mask mask{};
};
[[nodiscard]] std::vector<UnknownRegisters> unknown_registers(const GuestState& state);

// How long they can become where so many vCPUs are known; `text` is as long as said.
[[nodiscard]] std::uint64_t most_note_bytes(const GuestState& state, std::uint64_t text);

// The text of the VMCOREINFO note that begins at the start of this page; empty where none does.
// `head` has the page's first 32 bytes.
inline constexpr std::size_t kVmcoreinfoHead = 32;
[[nodiscard]] bool may_be_vmcoreinfo(std::span<const std::byte> head);
[[nodiscard]] std::string vmcoreinfo_of(std::span<const std::byte> page);

// The value of a line KEY=VALUE of the text; empty where there is none.
[[nodiscard]] std::string vmcoreinfo_value(const std::string& text, const std::string& key);

}  // namespace microvmi::dumper
