// SPDX-License-Identifier: Apache-2.0
// HexView: bytes as lines of address, hexadecimal and text, in pieces of any size.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace microvmi::tool {

class HexView {
 public:
  explicit HexView(std::uint64_t address) : address_(address) {}

  // The lines that are full by now.
  [[nodiscard]] std::string add(std::span<const std::byte> bytes);

  // The last line, where it is not full.
  [[nodiscard]] std::string finish();

 private:
  void append_line(std::string& out, std::span<const std::byte> bytes);

  std::uint64_t address_;
  std::string pending_;  // less than a line
};

// Two digits for each byte and nothing between them.
[[nodiscard]] std::string plain_hex(std::span<const std::byte> bytes);

}  // namespace microvmi::tool
