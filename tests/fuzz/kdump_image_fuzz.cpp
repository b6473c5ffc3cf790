// SPDX-License-Identifier: Apache-2.0
// kdump-compressed and flattened files, of which pages may be broken; and any bytes as LZO.
#include <vector>

#include "codec/lzo.hpp"
#include "image_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace microvmi;
  fuzz::open_image(data, size, DumpFormat::kdump, fuzz::Reads::may_fail);
  std::vector<std::byte> out(kPageSize);
  const auto got = codec::lzo1x_decompress(std::as_bytes(std::span(data, size)), out);
  if (got && *got > out.size()) std::abort();
  return 0;
}
