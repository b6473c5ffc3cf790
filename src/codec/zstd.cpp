// SPDX-License-Identifier: Apache-2.0
// Zstandard frames through libzstd.
#include <zstd.h>

#include <memory>

#include "codec/codec.hpp"

namespace microvmi::codec {
namespace {

constexpr int kZstdLevel = 1;

struct FreeZstd {
  void operator()(ZSTD_DCtx* one) const { ZSTD_freeDCtx(one); }
  void operator()(ZSTD_CCtx* one) const { ZSTD_freeCCtx(one); }
};

bool from_zstd(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeZstd> state(ZSTD_createDCtx());
  // An error is a number larger than any size.
  return state && ZSTD_decompressDCtx(state.get(), out.data(), out.size(), in.data(), in.size()) ==
                      out.size();
}

std::size_t to_zstd(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeZstd> state(ZSTD_createCCtx());
  if (!state) return 0;
  const std::size_t size =
      ZSTD_compressCCtx(state.get(), out.data(), out.size(), in.data(), in.size(), kZstdLevel);
  return ZSTD_isError(size) != 0 ? 0 : size;
}

}  // namespace

constinit const Codec kZstd{
    .name = "zstd", .decompress = from_zstd, .compress = to_zstd, .library = "libzstd"};

}  // namespace microvmi::codec
