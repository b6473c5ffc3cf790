// SPDX-License-Identifier: Apache-2.0
// The header of a Windows crash dump, of either class (DUMP_HEADER32, DUMP_HEADER64 of the WDK).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "microvmi/driver.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::coredump_connector {

inline constexpr std::size_t kWindowsHeader32 = 0x1000;
inline constexpr std::size_t kWindowsHeader64 = 0x2000;

struct WindowsRun {
  std::uint64_t frame = 0;
  std::uint64_t pages = 0;
};

// What is nullopt holds the filler "PAGE", or nothing.
struct WindowsHeader {
  unsigned bits = 64;
  std::uint32_t build = 0;
  std::uint64_t dtb = 0;  // with flags of CR3 in its low bits
  bool is_pae = false;    // of 32-bit ones
  std::uint32_t machine = 0;
  std::optional<std::uint32_t> vcpus = std::nullopt;
  std::optional<std::uint32_t> bugcheck = std::nullopt;
  std::optional<std::uint64_t> kdbg = std::nullopt;
  std::optional<std::uint64_t> modules = std::nullopt;    // PsLoadedModuleList
  std::optional<std::uint64_t> processes = std::nullopt;  // PsActiveProcessHead
  std::optional<std::uint64_t> time = std::nullopt;       // FILETIME
  std::string comment{};
  std::uint32_t type = 0;  // DumpType
  std::optional<std::uint32_t> run_count = std::nullopt;
  std::uint64_t page_count = 0;
  std::vector<WindowsRun> runs{};  // as many as there is room for
  Registers registers{};           // of the vCPU that crashed: its CONTEXT, and the DTB as CR3

  [[nodiscard]] std::size_t size() const {
    return bits == 64 ? kWindowsHeader64 : kWindowsHeader32;
  }
};

// nullopt where the bytes are too few or begin with another magic.
[[nodiscard]] std::optional<WindowsHeader> parse_windows_header(std::span<const std::byte> bytes);

// dtb, kdbg, bugcheck and so on, for info.
[[nodiscard]] std::vector<Fact> facts_of(const WindowsHeader& header);

}  // namespace microvmi::coredump_connector
