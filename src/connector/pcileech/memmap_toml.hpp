// SPDX-License-Identifier: Apache-2.0
// A memory map in TOML, as memflow has it.
#pragma once

#include "connector/pcileech/memmap.hpp"

namespace microvmi::pcileech_connector {

// Neither sorted nor checked.
[[nodiscard]] Expected<std::vector<MapRange>> parse_memmap_toml(std::string_view text,
                                                                const std::string& name);

}  // namespace microvmi::pcileech_connector
