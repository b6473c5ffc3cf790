// SPDX-License-Identifier: Apache-2.0
// Where the RAM blocks of a migration stream are in guest-physical memory.
#pragma once

#include "connector/coredump/stream_ram.hpp"

namespace microvmi::coredump_connector {

// A piece of a block; neither wraps.
struct StreamPlace {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint32_t block = 0;
  std::uint64_t offset = 0;  // in the block
  MemoryRegion::Kind kind = MemoryRegion::Kind::ram;
};

struct StreamLayout {
  std::vector<StreamPlace> places{};
  std::vector<std::string>
      unplaced{};  // blocks of devices, of which nobody can tell where they are
  std::string architecture{};
};

// Errc::not_supported where the machine or its main RAM is not known.
[[nodiscard]] Expected<StreamLayout> lay_out(const Source& source, const StreamRam& ram);

}  // namespace microvmi::coredump_connector
