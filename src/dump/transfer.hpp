// SPDX-License-Identifier: Apache-2.0
// transfer: guest memory into its places in the file, and what became of it.
#pragma once

#include <optional>
#include <vector>

#include "dump/layout.hpp"
#include "dump/native.hpp"
#include "dump/packer.hpp"
#include "dump/vmcoreinfo_search.hpp"

namespace microvmi::dumper {

struct Outcome {
  std::vector<Piece> pieces{};                // what is in the file
  std::vector<Piece> gone{};                  // what could not be read
  Gpa reached{};                              // everything of the map below it is done
  std::optional<Error> error = std::nullopt;  // why it ended early
};

// Who else is shown what goes by.
struct Along {
  Packer* packer = nullptr;  // writes in the place of the layout
  VmcoreinfoSearch* search = nullptr;
};

[[nodiscard]] Outcome transfer(const PhysicalMemory& memory, const Layout& layout,
                               PartialFile& file, const DumpOptions& options, const Along& along);

}  // namespace microvmi::dumper
