// SPDX-License-Identifier: Apache-2.0
// Any text is refused or gives ranges that are sorted, apart and within the address space.
#include <cstdlib>

#include "qemu/mtree.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ranges = microvmi::qemu::parse_mtree(text);
  if (!ranges) return 0;
  std::uint64_t free = 0;
  bool full = false;
  for (const auto& range : *ranges) {
    const std::uint64_t start = to_integer(range.gpa);
    if (full || range.size == 0 || start < free || range.size - 1 > ~start) std::abort();
    free = start + range.size;
    full = free == 0;
  }
  return 0;
}
