// SPDX-License-Identifier: Apache-2.0
// LiME images: a header and the bytes, for each piece of memory.
#pragma once

#include "dump/packer.hpp"

namespace microvmi::dumper {

[[nodiscard]] std::unique_ptr<Packer> lime_packer(PartialFile& file);

}  // namespace microvmi::dumper
