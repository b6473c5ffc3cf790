// SPDX-License-Identifier: Apache-2.0
// Opening a device in the helper, and what is believed of the memory map that LeechCore tells.
#pragma once

#include <filesystem>

#include "connector/pcileech/memmap.hpp"
#include "connector/pcileech/native.hpp"
#include "microvmi/connector/pcileech.hpp"

namespace microvmi::pcileech_connector {

struct Wanted {
  std::filesystem::path library;
  std::vector<MapRange> ranges{};  // of the memmap; empty where LeechCore is to tell
};

// Checks what can be checked without LeechCore.
[[nodiscard]] Expected<Wanted> wanted_of(const PcileechParams& params);

struct OpenedDevice {
  std::string version{};  // of LeechCore
  std::string name{};     // the kind of device, as LeechCore calls it
  bool is_volatile = false;
  bool is_writable = false;
  bool is_remote = false;
  MemoryMap map{};
};

[[nodiscard]] Expected<OpenedDevice> open_device(Helper& helper, const PcileechParams& params,
                                                 const Wanted& wanted, const Wait& wait);

// Of a device that is open: what LeechCore tells now, where no map was given.
[[nodiscard]] Expected<MemoryMap> ask_map(Helper& helper, bool is_volatile, const Wait& wait);

}  // namespace microvmi::pcileech_connector
