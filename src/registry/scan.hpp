// SPDX-License-Identifier: Apache-2.0
// A step of scan() that stands alone, so that tests reach it.
#pragma once

#include <vector>

#include "microvmi/registry.hpp"

namespace microvmi {

// What one row knows of a process, whether its guest runs, the others of that process know too.
void share_run_states(std::vector<Found>& rows);

}  // namespace microvmi
