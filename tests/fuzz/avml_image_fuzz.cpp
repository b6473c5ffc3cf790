// SPDX-License-Identifier: Apache-2.0
// Any file, opened as an AVML image; what is wrong within a chunk is seen when it is read.
#include "image_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace microvmi;
  return fuzz::open_image(data, size, DumpFormat::avml, fuzz::Reads::may_fail);
}
