// SPDX-License-Identifier: Apache-2.0
// Output: stdout, where every byte either arrives or the command fails.
#pragma once

#include <cstddef>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "failure.hpp"

namespace microvmi::tool {

class Output {
 public:
  explicit Output(std::stop_token stop) : stop_(std::move(stop)) {}

  // A reader that went away, as `head` does, ends the command with exit code 0 and without a word.
  [[nodiscard]] Outcome write(std::string_view text);
  [[nodiscard]] Outcome write(std::span<const std::byte> bytes);

  // What was written so far reaches its reader now.
  [[nodiscard]] Outcome flush();

  // To be called last: what is buffered is written, and a late error of the file system is heard.
  [[nodiscard]] Outcome finish();

 private:
  [[nodiscard]] Outcome pass_on(std::string_view text);

  std::stop_token stop_;
  std::string buffer_;
};

// A line on stderr for the person who reads stdout, or a file, and may be misled without it.
void note(std::string_view text);

// Descriptors 0 to 2 are never left free for the next file that is opened.
void occupy_standard_descriptors();

}  // namespace microvmi::tool
