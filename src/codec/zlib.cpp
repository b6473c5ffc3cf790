// SPDX-License-Identifier: Apache-2.0
// zlib streams through libdeflate.
#include <libdeflate.h>

#include <memory>

#include "codec/codec.hpp"

namespace microvmi::codec {
namespace {

constexpr int kZlibLevel = 1;  // the fastest; pages are small and many

struct FreeZlib {
  void operator()(libdeflate_decompressor* one) const { libdeflate_free_decompressor(one); }
  void operator()(libdeflate_compressor* one) const { libdeflate_free_compressor(one); }
};

bool from_zlib(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local const std::unique_ptr<libdeflate_decompressor, FreeZlib> state(
      libdeflate_alloc_decompressor());
  // Without a place for the size, anything but exactly as much is a failure.
  return state && libdeflate_zlib_decompress(state.get(), in.data(), in.size(), out.data(),
                                             out.size(), nullptr) == LIBDEFLATE_SUCCESS;
}

std::size_t to_zlib(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local const std::unique_ptr<libdeflate_compressor, FreeZlib> state(
      libdeflate_alloc_compressor(kZlibLevel));
  return state ? libdeflate_zlib_compress(state.get(), in.data(), in.size(), out.data(), out.size())
               : 0;
}

}  // namespace

constinit const Codec kZlib{
    .name = "zlib", .decompress = from_zlib, .compress = to_zlib, .library = "libdeflate"};

}  // namespace microvmi::codec
