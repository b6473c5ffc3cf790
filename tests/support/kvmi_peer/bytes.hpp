// SPDX-License-Identifier: Apache-2.0
// Bytes: little-endian numbers in and out of byte strings, for the simulated KVMi peer alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace microvmi::test::kvmi {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

template <class T>
void append(Bytes& to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    to.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
}
inline void append_zeros(Bytes& to, std::size_t count) { to.resize(to.size() + count); }
inline void append_bytes(Bytes& to, ByteSpan from) {
  to.insert(to.end(), from.begin(), from.end());
}

// The number of `width` bytes at `offset`; what lies behind the end counts as zero.
[[nodiscard]] inline std::uint64_t number(ByteSpan from, std::size_t offset, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width && offset + i < from.size(); ++i)
    value |= static_cast<std::uint64_t>(from[offset + i]) << (8 * i);
  return value;
}
[[nodiscard]] inline std::uint8_t u8(ByteSpan from, std::size_t offset) {
  return static_cast<std::uint8_t>(number(from, offset, 1));
}
[[nodiscard]] inline std::uint16_t u16(ByteSpan from, std::size_t offset) {
  return static_cast<std::uint16_t>(number(from, offset, 2));
}
[[nodiscard]] inline std::uint32_t u32(ByteSpan from, std::size_t offset) {
  return static_cast<std::uint32_t>(number(from, offset, 4));
}
[[nodiscard]] inline std::uint64_t u64(ByteSpan from, std::size_t offset) {
  return number(from, offset, 8);
}

// "0200 0000 | 01": hexadecimal digits; everything else is left out.
[[nodiscard]] Bytes from_hex(const std::string& text);
[[nodiscard]] std::string to_hex(ByteSpan bytes);

}  // namespace microvmi::test::kvmi
