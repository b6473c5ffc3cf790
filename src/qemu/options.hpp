// SPDX-License-Identifier: Apache-2.0
// Options: the comma lists and JSON objects that QEMU's command line is made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::qemu {

// "q35,accel=kvm" or {"type": "q35", "accel": "kvm"}, in the order written; nested JSON objects
// give dotted keys. A list may be longer than any sane command line, so its size is bounded.
class Options {
 public:
  // A first element without '=' is the value of `implied`; ",," is a comma inside a value. An
  // element without '=' after the first is a switch: "share" is share=on, "noshare" is share=off.
  [[nodiscard]] static Expected<Options> parse(std::string_view text, std::string_view implied);

  // The last one wins, as in QEMU.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view key) const;
  [[nodiscard]] std::string text(std::string_view key) const { return std::string(view(key)); }
  [[nodiscard]] bool is_on(std::string_view key) const;

  void add(std::string key, std::string value) {
    values_.emplace_back(std::move(key), std::move(value));
  }

  // What follows overrides what is there.
  void merge(Options other);

 private:
  [[nodiscard]] std::string_view view(std::string_view key) const {
    return get(key).value_or(std::string_view{});
  }

  std::vector<std::pair<std::string, std::string>> values_;
};

// "512M", "0x1000", "1.5G"; a number without a suffix counts in `unit`.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text,
                                                      std::uint64_t unit = 1);

// A decimal number and nothing else.
[[nodiscard]] std::optional<std::uint32_t> parse_number(std::string_view text);

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
inline constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;
inline constexpr std::uint64_t kTiB = std::uint64_t{1} << 40U;

}  // namespace microvmi::qemu
