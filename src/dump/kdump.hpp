// SPDX-License-Identifier: Apache-2.0
// kdump-compressed dumps: pages compressed one by one on all cores.
#pragma once

#include "codec/codec.hpp"
#include "dump/packer.hpp"

namespace microvmi::dumper {

[[nodiscard]] Expected<void> check_kdump(const codec::Codec& codec, const MemoryMap& map);

[[nodiscard]] std::unique_ptr<Packer> kdump_packer(const codec::Codec& codec, const MemoryMap& map,
                                                   PartialFile& file, std::uint64_t note_size);

}  // namespace microvmi::dumper
