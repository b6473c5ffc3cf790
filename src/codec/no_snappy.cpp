// SPDX-License-Identifier: Apache-2.0
// A build without libsnappy: snappy is known by name alone.
#include "codec/codec.hpp"

namespace microvmi::codec {

constinit const Codec kSnappy{
    .name = "snappy", .decompress = nullptr, .compress = nullptr, .library = "libsnappy"};

}  // namespace microvmi::codec
