// SPDX-License-Identifier: Apache-2.0
// Output: what a library prints, kept within bounds and made fit for a log and for an error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace microvmi::pcileech_connector {

class Output {
 public:
  void add(std::string_view bytes);

  // The whole lines so far, and the begun one where `all` is true. Bytes that no terminal should
  // get are question marks; of a flood the first lines are left out, which a line tells.
  [[nodiscard]] std::vector<std::string> take(bool all);

 private:
  std::string text_;
  std::size_t lost_ = 0;
};

// The last of them in one line, for an error; empty where there are none.
[[nodiscard]] std::string in_one_line(const std::vector<std::string>& lines);

}  // namespace microvmi::pcileech_connector
