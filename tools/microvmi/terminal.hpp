// SPDX-License-Identifier: Apache-2.0
// What a person sees: colours, sizes and names that cannot play tricks on the terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace microvmi::tool {

[[nodiscard]] bool is_terminal(int fd);

// Escape sequences where stdout is a terminal that wants them, else nothing.
struct Style {
  const char* bold = "";
  const char* dim = "";
  const char* good = "";
  const char* bad = "";
  const char* plain = "";
};
[[nodiscard]] const Style& style();

// Control characters and broken UTF-8 as \x1b: a guest's name is chosen by others.
[[nodiscard]] std::string printable(std::string_view text);

// One word for a shell, quoted where it must be.
[[nodiscard]] std::string shell_word(std::string_view text);

// "512.0 MiB"
[[nodiscard]] std::string human_size(std::uint64_t bytes);
[[nodiscard]] std::string human_time(std::chrono::seconds time);
[[nodiscard]] std::string hex(std::uint64_t number);

}  // namespace microvmi::tool
