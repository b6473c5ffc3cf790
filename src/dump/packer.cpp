// SPDX-License-Identifier: Apache-2.0
// Which formats are packed, and by whom.
#include "dump/packer.hpp"

#include "dump/kdump.hpp"
#include "dump/lime.hpp"

namespace microvmi::dumper {

Expected<void> check_format(ImageFormat format, const MemoryMap& map) {
  if (format == ImageFormat::kdump_zlib) return check_kdump(codec::kZlib, map);
  if (format == ImageFormat::kdump_zstd) return check_kdump(codec::kZstd, map);
  return {};
}

std::unique_ptr<Packer> make_packer(ImageFormat format, const MemoryMap& map, PartialFile& file,
                                    std::uint64_t note_size) {
  if (format == ImageFormat::lime) return lime_packer(file);
  if (format == ImageFormat::kdump_zlib) return kdump_packer(codec::kZlib, map, file, note_size);
  if (format == ImageFormat::kdump_zstd) return kdump_packer(codec::kZstd, map, file, note_size);
  return nullptr;
}

}  // namespace microvmi::dumper
