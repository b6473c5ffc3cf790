// SPDX-License-Identifier: Apache-2.0
// Numbers at places of Xen's structures, which are little-endian as all of x86 is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace microvmi::xen {

using ByteSpan = std::span<const std::byte>;

// 0 where the bytes end before.
[[nodiscard]] inline std::uint64_t load(ByteSpan bytes, std::size_t offset, std::size_t width) {
  std::uint64_t out = 0;
  if (offset <= bytes.size() && width <= bytes.size() - offset && width <= sizeof out)
    std::memcpy(&out, bytes.data() + offset, width);
  return out;
}

inline void store(std::span<std::byte> bytes, std::size_t offset, std::size_t width,
                  std::uint64_t value) {
  if (offset <= bytes.size() && width <= bytes.size() - offset && width <= sizeof value)
    std::memcpy(bytes.data() + offset, &value, width);
}

}  // namespace microvmi::xen
