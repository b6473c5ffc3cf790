// SPDX-License-Identifier: Apache-2.0
// Bytes written as hex, as the description of the protocol has them.
#pragma once

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace microvmi::test {

// "0200 0000 | 01": blanks and bars are left out.
inline std::vector<std::byte> hex(std::string_view text) {
  std::vector<std::byte> out;
  int high = -1;
  for (const char letter : text) {
    if (!std::isxdigit(static_cast<unsigned char>(letter))) continue;
    const int digit = letter <= '9' ? letter - '0' : (letter | 0x20) - 'a' + 10;
    if (high >= 0) out.push_back(static_cast<std::byte>(high * 16 + digit));
    high = high >= 0 ? -1 : digit;
  }
  return out;
}

inline void put(std::vector<std::byte>& bytes, std::size_t offset, std::size_t width,
                std::uint64_t value) {
  if (bytes.size() < offset + width) bytes.resize(offset + width);
  for (std::size_t i = 0; i < width; ++i)
    bytes[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

inline std::vector<std::byte> operator+(std::vector<std::byte> a, const std::vector<std::byte>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace microvmi::test
