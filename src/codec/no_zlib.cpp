// SPDX-License-Identifier: Apache-2.0
// A build without libdeflate: zlib is known by name alone.
#include "codec/codec.hpp"

namespace microvmi::codec {

constinit const Codec kZlib{
    .name = "zlib", .decompress = nullptr, .compress = nullptr, .library = "libdeflate"};

}  // namespace microvmi::codec
