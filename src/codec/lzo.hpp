// SPDX-License-Identifier: Apache-2.0
// LZO1X streams, written from the description of the format alone.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace microvmi::codec {

// How many bytes the stream gave; nullopt where it is cut off, wants more room than `out` has,
// refers to what is before it, or goes on after its end.
[[nodiscard]] std::optional<std::size_t> lzo1x_decompress(std::span<const std::byte> in,
                                                          std::span<std::byte> out);

}  // namespace microvmi::codec
