// SPDX-License-Identifier: Apache-2.0
// Packer: writes memory to places in the file that show only as it goes along.
#pragma once

#include <memory>

#include "dump/layout.hpp"
#include "dump/native.hpp"
#include "dump/notes.hpp"
#include "dump/read_ahead.hpp"

namespace microvmi::dumper {

// What the headers say beside where the memory is.
struct Told {
  const Notes& notes;
  const GuestState& state;
  std::string machine;  // as uname -m
};

class Packer {
 public:
  Packer() = default;
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;
  virtual ~Packer() = default;

  // Headers, so that what is written before an early end can be read.
  [[nodiscard]] virtual std::error_code begin(const Told& told) = 0;
  // A copy, or untouched; pages that are gone are not written.
  [[nodiscard]] virtual std::error_code store(const Chunk& chunk) = 0;
  // Corrects the headers.
  [[nodiscard]] virtual std::error_code finish(const Told& told) = 0;

  [[nodiscard]] virtual std::uint64_t file_size() const = 0;
};

// Whether this build can write the format, and such a map in it.
[[nodiscard]] Expected<void> check_format(ImageFormat format, const MemoryMap& map);

// For kdump_zlib, kdump_zstd and lime; null for formats whose places are known beforehand.
// `note_size` is the room for notes.
[[nodiscard]] std::unique_ptr<Packer> make_packer(ImageFormat format, const MemoryMap& map,
                                                  PartialFile& file, std::uint64_t note_size);

}  // namespace microvmi::dumper
