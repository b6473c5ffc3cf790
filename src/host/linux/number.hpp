// SPDX-License-Identifier: Apache-2.0
// Numbers that /proc and its like have in text.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace microvmi::host {

// nullopt unless the whole text is one that fits.
template <class T>
[[nodiscard]] std::optional<T> number_of(std::string_view text, int base = 10) {
  T value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value, base);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

}  // namespace microvmi::host
