// SPDX-License-Identifier: Apache-2.0
// Codec: one way in which the pages of an image are compressed, each on its own.
//
// Threads: from several at once.
#pragma once

#include <cstddef>
#include <span>

namespace microvmi::codec {

struct Codec {
  const char* name;
  // Whether `in` is exactly one page of out.size() bytes; what is in `out` otherwise is
  // unspecified. Any input is safe. Null where this build lacks it.
  bool (*decompress)(std::span<const std::byte> in, std::span<std::byte> out);
  // How many bytes of `out` it took; 0 where they were not enough. Null where nothing is written
  // so.
  std::size_t (*compress)(std::span<const std::byte> in, std::span<std::byte> out);
  const char* library;  // what a build needs for it
};

extern const Codec kZlib;
extern const Codec kLzo;
extern const Codec kSnappy;
extern const Codec kZstd;

}  // namespace microvmi::codec
