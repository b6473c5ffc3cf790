// SPDX-License-Identifier: Apache-2.0
// What a new dump lacks, told on stderr.
#pragma once

#include "microvmi/dump.hpp"

namespace microvmi::tool {

void note_losses(const GuestInfo& source, const DumpReport& report);

}  // namespace microvmi::tool
