// SPDX-License-Identifier: Apache-2.0
// What QEMU's human monitor says of the registers, read for the tests alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "microvmi/registers.hpp"
#include "support/qmp_truth.hpp"

namespace microvmi::test {

// "rip", "cs_base", "gdt_limit": named as in microvmi/registers.hpp.
using RegisterTruth = std::map<std::string, std::uint64_t>;

// `info registers -a`: each vCPU of a guest that is stopped, by number.
[[nodiscard]] Outcome<std::vector<RegisterTruth>> registers_of(QmpTruth& truth);

// Those of the names that differ or are unknown, as text; empty where all are as the monitor says.
[[nodiscard]] std::string differences(const Registers& ours, const RegisterTruth& truth,
                                      const std::vector<std::string>& names);

// What every structure with a whole state has; r8 to r15 are told in 64-bit mode alone.
[[nodiscard]] std::vector<std::string> general_registers(bool is_64_bit = true);
[[nodiscard]] std::vector<std::string> segment_registers();  // with bases, limits, attributes

}  // namespace microvmi::test
