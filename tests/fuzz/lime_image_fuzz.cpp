// SPDX-License-Identifier: Apache-2.0
// Any file, opened as a LiME image.
#include "image_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace microvmi;
  return fuzz::open_image(data, size, DumpFormat::lime);
}
