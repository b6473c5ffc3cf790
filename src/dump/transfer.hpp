// SPDX-License-Identifier: Apache-2.0
// transfer: guest memory into its places in the file, and what became of it.
#pragma once

#include <optional>
#include <vector>

#include "dump/layout.hpp"
#include "dump/native.hpp"

namespace microvmi::dumper {

struct Outcome {
  std::vector<Piece> pieces{};                // what is in the file
  std::vector<Piece> gone{};                  // what could not be read
  Gpa reached{};                              // everything of the map below it is done
  std::optional<Error> error = std::nullopt;  // why it ended early
};

[[nodiscard]] Outcome transfer(const PhysicalMemory& memory, const Layout& layout,
                               PartialFile& file, const DumpOptions& options);

}  // namespace microvmi::dumper
