// SPDX-License-Identifier: Apache-2.0
// Bytes on their way into a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace microvmi::dumper {

// `bytes` is not empty.
[[nodiscard]] inline bool is_zero(std::span<const std::byte> bytes) {
  return bytes.front() == std::byte{} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

template <class T>
void put(std::span<std::byte> to, std::uint64_t at, const T& value) {
  std::memcpy(to.data() + at, &value, sizeof(value));
}

}  // namespace microvmi::dumper
