// SPDX-License-Identifier: Apache-2.0
// "000000001000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  |.ELF............|"
#include "hex_view.hpp"

#include <algorithm>

#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::size_t kLine = 16;
constexpr const char* kDigits = "0123456789abcdef";
constexpr int kAddressDigits = 12;  // what 48 bits of physical address need; more where needed

void append_hex(std::string& out, std::byte byte) {
  out += kDigits[std::to_integer<unsigned>(byte) >> 4U];
  out += kDigits[std::to_integer<unsigned>(byte) & 15U];
}

void append_address(std::string& out, std::uint64_t address) {
  int digits = kAddressDigits;
  while (digits < 16 && (address >> (4 * digits)) != 0) ++digits;
  while (digits-- > 0) out += kDigits[(address >> (4 * digits)) & 15U];
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

void HexView::append_line(std::string& out, std::span<const std::byte> bytes) {
  const bool zeros = std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{}; });
  if (zeros) out += style().dim;
  append_address(out, address_);
  out += ' ';
  for (std::size_t i = 0; i < kLine; ++i) {
    out += i % (kLine / 2) == 0 ? "  " : " ";
    out.erase(out.size() - (i == 0 ? 1 : 0));
    if (i < bytes.size())
      append_hex(out, bytes[i]);
    else
      out += "  ";
  }
  out += "  |";
  for (const std::byte byte : bytes) {
    const auto c = std::to_integer<char>(byte);
    out += c >= ' ' && c <= '~' ? c : '.';
  }
  out += '|';
  if (zeros) out += style().plain;
  out += '\n';
  address_ += bytes.size();
}

std::string HexView::add(std::span<const std::byte> bytes) {
  std::string out;
  if (!pending_.empty()) {
    const std::size_t missing = std::min(kLine - pending_.size(), bytes.size());
    pending_.append(reinterpret_cast<const char*>(bytes.data()), missing);
    bytes = bytes.subspan(missing);
    if (pending_.size() < kLine) return out;
    append_line(out, bytes_of(pending_));
    pending_.clear();
  }
  for (; bytes.size() >= kLine; bytes = bytes.subspan(kLine)) append_line(out, bytes.first(kLine));
  pending_.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return out;
}

std::string HexView::finish() {
  std::string out;
  if (!pending_.empty()) append_line(out, bytes_of(pending_));
  pending_.clear();
  return out;
}

std::string plain_hex(std::span<const std::byte> bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) append_hex(out, byte);
  return out;
}

}  // namespace microvmi::tool
