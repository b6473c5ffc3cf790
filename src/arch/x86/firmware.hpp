// SPDX-License-Identifier: Apache-2.0
// Which memory of an x86 machine is firmware rather than RAM.
#pragma once

#include <cstdint>

#include "microvmi/address.hpp"

namespace microvmi {

// What the Intel chipsets decode as firmware below 4 GiB (ICH9 datasheet, FWH decode): RAM is
// never there, so that what ends at 4 GiB and is no longer holds a flash or its copy.
[[nodiscard]] constexpr bool is_firmware(Gpa gpa, std::uint64_t size) {
  constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;
  constexpr std::uint64_t kMostFirmware = 16 << 20;
  return to_integer(gpa) + size == kFourGiB && size <= kMostFirmware;
}

}  // namespace microvmi
