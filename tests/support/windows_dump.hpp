// SPDX-License-Identifier: Apache-2.0
// WindowsDump: a crash dump put together from the structures of the WDK (wdm.h, DUMP_HEADER) and of
// the bitmap and RDMP headers. It shares nothing with the library.
#pragma once

#include <utility>

#include "support/image_bytes.hpp"

namespace microvmi::test {

struct WindowsDump {
  unsigned bits = 64;
  std::uint32_t type = 1;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> runs{};  // frame, pages
  std::uint64_t dtb = 0x1AD002;
  std::uint32_t machine = 0x8664;
  std::uint32_t context_flags = 0x10000F;
  std::uint64_t run_count = ~0ULL;    // as the header says; ~0: as they are
  std::uint64_t page_count = ~0ULL;   // the same, of the header, bitmap or list
  std::uint64_t extra_bits = 0;       // of the bitmap, behind the last set one
  std::uint64_t bitmap_bits = ~0ULL;  // as the bitmap's header says
  const char* bitmap_magic = "SDMPDUMP";

  // What the pages are: the bytes of the runs, one after the other.
  [[nodiscard]] std::vector<std::byte> pages() const;
  [[nodiscard]] ImageBytes image() const;
  [[nodiscard]] std::size_t header() const { return bits == 64 ? 0x2000 : 0x1000; }

 private:
  [[nodiscard]] std::uint64_t sum() const;
  void put_header(ImageBytes& out) const;
  void put_context(ImageBytes& out) const;
  void put_bitmap(ImageBytes& out) const;
  void put_summary(ImageBytes& out) const;
  void put_list(ImageBytes& out) const;
  [[nodiscard]] std::uint64_t count_of_bits() const;
};

}  // namespace microvmi::test
