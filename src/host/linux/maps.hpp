// SPDX-License-Identifier: Apache-2.0
// Mapping: one line of /proc/PID/maps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::host {

struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;  // in the file
  bool read = false;
  bool write = false;
  bool execute = false;
  bool shared = false;  // 's': stores reach the file; else a private copy
  std::uint32_t dev_major = 0;
  std::uint32_t dev_minor = 0;
  std::uint64_t inode = 0;  // 0 where no file is behind it
  std::string path{};       // "\012" in the text is a newline again; may end in " (deleted)"

  [[nodiscard]] std::uint64_t size() const { return end - start; }
  bool operator==(const Mapping&) const = default;
};

// Lines that are no mapping and ranges that are empty are left out: one hostile name must not hide
// the rest. The result is sorted, as the kernel writes it; a line that overlaps its predecessor is
// left out too.
[[nodiscard]] std::vector<Mapping> parse_maps(std::string_view text);

// Errc::not_found where the process is gone; Errc::permission_denied with the reason.
[[nodiscard]] Expected<std::vector<Mapping>> read_maps(std::uint32_t pid);

}  // namespace microvmi::host
