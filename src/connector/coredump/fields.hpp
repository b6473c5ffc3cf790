// SPDX-License-Identifier: Apache-2.0
// Fields: the numbers of a structure in a file, each checked against the bytes that are there.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "microvmi/registers.hpp"

namespace microvmi::coredump_connector {

// Of a descriptor's second word: type, S, DPL, P and AVL, L, D/B, G, with the limit's bits between
// them left out.
inline constexpr std::uint32_t kAccessRights = 0xF0FF;

class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes, std::endian order = std::endian::little)
      : bytes_(bytes), swap_(order != std::endian::native) {}

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] bool holds(std::size_t at, std::size_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }

  // 0 where it is not there: ask holds() first where that matters.
  template <std::unsigned_integral T>
  [[nodiscard]] T get(std::size_t at) const {
    T value{};
    if (!holds(at, sizeof(T))) return value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    if constexpr (sizeof(T) == 1) return value;
    return swap_ ? reversed(value) : value;
  }

  // Up to the first NUL.
  [[nodiscard]] std::string_view text(std::size_t at, std::size_t size) const {
    if (!holds(at, size)) return {};
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()) + at, size);
    return all.substr(0, all.find('\0'));
  }

  [[nodiscard]] Fields from(std::size_t at) const {
    Fields rest = *this;
    rest.bytes_ = bytes_.subspan(std::min(at, bytes_.size()));
    return rest;
  }

 private:
  template <class T>
  static T reversed(T value) {
    T out{};
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      out = static_cast<T>(static_cast<std::uint64_t>(out) << 8U | (value & 0xFFU));
      value = static_cast<T>(static_cast<std::uint64_t>(value) >> 8U);
    }
    return out;
  }

  std::span<const std::byte> bytes_;
  bool swap_;
};

// Where a register lies in a structure, and in how many bytes.
struct RegisterField {
  Reg reg;
  std::uint16_t at;
  std::uint8_t size;
};

// Those become known whose bytes are there.
inline void take(Registers& into, const Fields& from, std::span<const RegisterField> fields) {
  for (const RegisterField& field : fields) {
    if (!from.holds(field.at, field.size)) continue;
    switch (field.size) {
      case 2:
        into.set(field.reg, from.get<std::uint16_t>(field.at));
        break;
      case 4:
        into.set(field.reg, from.get<std::uint32_t>(field.at));
        break;
      default:
        into.set(field.reg, from.get<std::uint64_t>(field.at));
    }
  }
}

}  // namespace microvmi::coredump_connector
