// SPDX-License-Identifier: Apache-2.0
// ELF cores of `xl dump-core`: sections instead of segments (Xen, docs/misc/dump-core-format.txt).
#pragma once

#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

[[nodiscard]] bool is_xen_core(const Source& source);
[[nodiscard]] Expected<Image> open_xen_core(const Source& source);

}  // namespace microvmi::coredump_connector
