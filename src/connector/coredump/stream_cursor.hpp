// SPDX-License-Identifier: Apache-2.0
// StreamCursor: big-endian numbers and short names, one after the other.
#pragma once

#include <array>
#include <concepts>
#include <string>

#include "connector/coredump/fields.hpp"
#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

class StreamCursor {
 public:
  StreamCursor(const Source& source, std::uint64_t at) : source_(source), at_(at) {}

  [[nodiscard]] std::uint64_t at() const { return at_; }
  // Once something was not there, all is 0 and empty, and this is true.
  [[nodiscard]] bool over() const { return over_; }

  template <std::unsigned_integral T>
  T take() {
    std::array<std::byte, sizeof(T)> bytes{};
    if (over_ || !source_.copy(at_, bytes)) return give_up<T>();
    at_ += sizeof(T);
    return Fields(bytes, std::endian::big).get<T>(0);
  }
  std::string take_name(std::uint64_t size) {
    constexpr std::uint64_t kLongest = 1024;
    std::string text(std::min(size, kLongest), '\0');
    if (over_ || size > kLongest || !source_.copy(at_, std::as_writable_bytes(std::span(text))))
      return give_up<std::string>();
    at_ += size;
    return text;
  }
  void skip(std::uint64_t size) {
    if (over_ || size > source_.size() - at_)
      over_ = true;
    else
      at_ += size;
  }

 private:
  template <class T>
  T give_up() {
    over_ = true;
    return {};
  }

  const Source& source_;
  std::uint64_t at_;
  bool over_ = false;
};

}  // namespace microvmi::coredump_connector
