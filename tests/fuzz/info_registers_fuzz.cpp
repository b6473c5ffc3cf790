// SPDX-License-Identifier: Apache-2.0
// Any text is refused or tells of vCPUs that are apart, each with its rip.
#include <cstdlib>
#include <set>

#include "qemu/info_registers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto states = microvmi::qemu::parse_info_registers(text);
  if (!states) return 0;
  std::set<std::uint32_t> seen;
  for (const auto& one : *states)
    if (!seen.insert(one.index).second || !one.registers[microvmi::Reg::rip]) std::abort();
  return 0;
}
