// SPDX-License-Identifier: Apache-2.0
// Files that hold memory in a way that is not read here: what they are, and what opens them.
#pragma once

#include "connector/coredump/format.hpp"

namespace microvmi::coredump_connector {

struct Refused {
  std::uint64_t offset;
  std::string_view magic;
  const char* what;
  const char* hint;
};

// Null where the file begins with no magic of these.
[[nodiscard]] const Refused* refused(const Source& source);

}  // namespace microvmi::coredump_connector
