// SPDX-License-Identifier: Apache-2.0
// What -v and -vv show, on stderr.
#pragma once

#include "microvmi/registry.hpp"

namespace microvmi::tool {

// 0: nothing; 1: what was tried; 2: with the time of each line.
void set_verbosity(int level);

// What a library call says goes here.
[[nodiscard]] LogSink log_sink();

}  // namespace microvmi::tool
