// SPDX-License-Identifier: Apache-2.0
// The files of one kdump-compressed dump: one, or those that makedumpfile --split wrote.
#pragma once

#include <vector>

#include "connector/coredump/format.hpp"
#include "connector/coredump/kdump_header.hpp"
#include "connector/coredump/kdump_memory.hpp"

namespace microvmi::coredump_connector {

struct KdumpSet {
  KdumpHeader header;            // of the file that was named
  std::vector<KdumpPart> parts;  // by their first page
  std::size_t named = 0;         // which of them that file is
  std::vector<std::string> files;
};

// The file that is named; of a split dump those in `parts` too, or else those beside it whose names
// differ in digits alone and which say that they belong to the same dump.
[[nodiscard]] Expected<KdumpSet> open_kdump_set(const Source& source);

}  // namespace microvmi::coredump_connector
