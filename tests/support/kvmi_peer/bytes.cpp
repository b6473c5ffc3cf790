// SPDX-License-Identifier: Apache-2.0
// Hexadecimal for golden bytes and for what a test prints.
#include "support/kvmi_peer/bytes.hpp"

#include <fmt/format.h>

#include <cctype>

namespace microvmi::test::kvmi {

Bytes from_hex(const std::string& text) {
  std::string digits;
  for (const char c : text)
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
  Bytes out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return out;
}

std::string to_hex(ByteSpan bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

}  // namespace microvmi::test::kvmi
