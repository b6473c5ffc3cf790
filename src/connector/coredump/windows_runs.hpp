// SPDX-License-Identifier: Apache-2.0
// Where the pages of a Windows crash dump lie: lists of runs or a bitmap, by the type of the dump.
#pragma once

#include "connector/coredump/format.hpp"
#include "connector/coredump/windows_header.hpp"

namespace microvmi::coredump_connector {

// The memory, and the facts about what is missing.
[[nodiscard]] Expected<void> place_windows_pages(Image& image, const Source& source,
                                                 const WindowsHeader& header);

}  // namespace microvmi::coredump_connector
