// SPDX-License-Identifier: Apache-2.0
// The memory of a Linux guest, for files of which the content counts.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace microvmi::bench {

inline constexpr std::size_t kLinuxMemory = std::size_t{512} << 20;

// Boots the guest of the tests in QEMU once, half a minute, and copies its memory. Empty where that
// is not possible here; `why` says what is missing.
[[nodiscard]] const std::vector<std::byte>& linux_memory(std::string& why);

}  // namespace microvmi::bench
