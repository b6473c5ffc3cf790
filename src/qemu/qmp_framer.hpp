// SPDX-License-Identifier: Apache-2.0
// Framer: cuts what a monitor sends into JSON objects. It trusts nothing: size, nesting and number
// of values are bounded before anything is parsed.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::qemu {

// `info mtree -f` of 256 vCPUs has 200 KB, so these leave room.
inline constexpr std::size_t kMaxMessage = 4 << 20;
inline constexpr std::size_t kMaxValues = 1 << 18;

// The answers that are asked for nest a handful deep; QEMU itself stops at 1024 (MAX_NESTING in
// its qobject/json-streamer.c).
inline constexpr std::size_t kMaxNesting = 64;

// A monitor may spread an object over lines (pretty=on) or put several on one, so objects end
// where their brackets do.
class Framer {
 public:
  // The objects that `bytes` completed. After an error there is nothing more to be had.
  [[nodiscard]] Expected<std::vector<nlohmann::json>> feed(std::string_view bytes);

  // Whether an object has begun and not ended.
  [[nodiscard]] bool midway() const { return !message_.empty(); }

 private:
  // How much of it is of the string that has begun, up to a character that means something.
  [[nodiscard]] std::size_t string_part(std::string_view bytes) const;
  // A part of a string or one character; true where the object ends.
  [[nodiscard]] Expected<bool> take(std::string_view some);
  [[nodiscard]] Expected<bool> take_outside_string(char c);

  std::string message_;
  std::size_t depth_ = 0;
  std::size_t values_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace microvmi::qemu
