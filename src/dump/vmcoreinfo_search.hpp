// SPDX-License-Identifier: Apache-2.0
// VmcoreinfoSearch: finds what a Linux kernel says of itself while its memory goes by.
#pragma once

#include <optional>
#include <string>

#include "dump/read_ahead.hpp"

namespace microvmi::dumper {

class VmcoreinfoSearch {
 public:
  // Looks at the beginning of each page: the kernel keeps its note, ready for a crash, in pages of
  // its own. The first that is one counts.
  void look(const PhysicalMemory& memory, const Chunk& chunk);

  [[nodiscard]] const std::optional<std::string>& found() const { return found_; }

 private:
  void look_at_view(const PhysicalMemory& memory, const Chunk& chunk);
  void take(const PhysicalMemory& memory, Gpa page);

  std::optional<std::string> found_;
};

}  // namespace microvmi::dumper
