// SPDX-License-Identifier: Apache-2.0
// Where the pages of a Windows crash dump lie: lists of runs or a bitmap, by the type of the dump.
#pragma once

#include "connector/coredump/pieces.hpp"
#include "connector/coredump/windows_header.hpp"

namespace microvmi::coredump_connector {

[[nodiscard]] Expected<Pieces> windows_pieces(const Source& source, const WindowsHeader& header);

}  // namespace microvmi::coredump_connector
