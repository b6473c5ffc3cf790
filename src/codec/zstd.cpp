// SPDX-License-Identifier: Apache-2.0
// Zstandard frames through libzstd.
#include <zstd.h>

#include <memory>

#include "codec/codec.hpp"

namespace microvmi::codec {
namespace {

constexpr int kLevel = 1;

struct Free {
  void operator()(ZSTD_DCtx* one) const { ZSTD_freeDCtx(one); }
  void operator()(ZSTD_CCtx* one) const { ZSTD_freeCCtx(one); }
};

bool decompress(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> state(ZSTD_createDCtx());
  // An error is a number larger than any size.
  return state && ZSTD_decompressDCtx(state.get(), out.data(), out.size(), in.data(), in.size()) ==
                      out.size();
}

std::size_t compress(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> state(ZSTD_createCCtx());
  if (!state) return 0;
  const std::size_t size =
      ZSTD_compressCCtx(state.get(), out.data(), out.size(), in.data(), in.size(), kLevel);
  return ZSTD_isError(size) != 0 ? 0 : size;
}

}  // namespace

constinit const Codec kZstd{
    .name = "zstd", .decompress = decompress, .compress = compress, .library = "libzstd"};

}  // namespace microvmi::codec
