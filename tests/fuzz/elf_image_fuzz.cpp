// SPDX-License-Identifier: Apache-2.0
// Any file, opened as an ELF core: of QEMU, VirtualBox, Xen, kdump.
#include "image_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace microvmi;
  return fuzz::open_image(data, size, DumpFormat::elf);
}
