// SPDX-License-Identifier: Apache-2.0
// ImageBytes: a file put together number by number, for images whose producers cannot run here. It
// shares nothing with the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace microvmi::test {

class ImageBytes {
 public:
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

  // At the end.
  ImageBytes& le(std::uint64_t value, unsigned size) { return place(bytes_.size(), value, size); }
  ImageBytes& be(std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) le(value >> 8 * (size - 1 - i), 1);
    return *this;
  }
  ImageBytes& text(std::string_view text) {
    for (const char c : text) le(static_cast<unsigned char>(c), 1);
    return *this;
  }
  ImageBytes& add(const std::vector<std::byte>& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  ImageBytes& zeros(std::size_t size) { return add(std::vector<std::byte>(size)); }
  // Up to an offset of the file, with what marks bytes that nobody should have read.
  ImageBytes& until(std::size_t offset, std::byte filler = std::byte{0xEE}) {
    if (bytes_.size() < offset) bytes_.resize(offset, filler);
    return *this;
  }

  // At an offset, over what is there.
  ImageBytes& place(std::size_t offset, std::uint64_t value, unsigned size) {
    until(offset + size, std::byte{});
    for (unsigned i = 0; i < size; ++i) bytes_[offset + i] = static_cast<std::byte>(value >> 8 * i);
    return *this;
  }
  ImageBytes& place(std::size_t offset, std::string_view text) {
    for (const char c : text) place(offset++, static_cast<unsigned char>(c), 1);
    return *this;
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace microvmi::test
