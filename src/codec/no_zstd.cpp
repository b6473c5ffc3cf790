// SPDX-License-Identifier: Apache-2.0
// A build without libzstd: zstd is known by name alone.
#include "codec/codec.hpp"

namespace microvmi::codec {

constinit const Codec kZstd{
    .name = "zstd", .decompress = nullptr, .compress = nullptr, .library = "libzstd"};

}  // namespace microvmi::codec
