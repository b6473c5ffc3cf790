// SPDX-License-Identifier: Apache-2.0
// `info registers -a` of the human monitor: the registers of every vCPU, without stopping any.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::qemu {

struct CpuState {
  std::uint32_t index = 0;  // cpu-index, as in query-cpus-fast
  Registers registers{};
};

// In the order of the text. What it does not tell, or tells in half only, is unknown.
// Errc::protocol where a vCPU is told twice, has no rip, or a register is no number.
[[nodiscard]] Expected<std::vector<CpuState>> parse_info_registers(std::string_view text);

}  // namespace microvmi::qemu
