// SPDX-License-Identifier: Apache-2.0
// Snappy blocks through libsnappy.
#include <snappy-c.h>

#include "codec/codec.hpp"

namespace microvmi::codec {
namespace {

bool from_snappy(std::span<const std::byte> in, std::span<std::byte> out) {
  const auto* const from = reinterpret_cast<const char*>(in.data());
  std::size_t size = 0;
  if (snappy_uncompressed_length(from, in.size(), &size) != SNAPPY_OK || size != out.size())
    return false;
  return snappy_uncompress(from, in.size(), reinterpret_cast<char*>(out.data()), &size) ==
         SNAPPY_OK;
}

}  // namespace

constinit const Codec kSnappy{
    .name = "snappy", .decompress = from_snappy, .compress = nullptr, .library = "libsnappy"};

}  // namespace microvmi::codec
