// SPDX-License-Identifier: Apache-2.0
// Fields in the order in which their structure declares them, with the filler between.
#include "support/windows_dump.hpp"

#include <algorithm>

#include "support/elf_image.hpp"
#include "support/sizes.hpp"

namespace microvmi::test {
namespace {

void fill_with_page(ImageBytes& out, std::size_t end) {
  while (out.size() < end) out.text("PAGE");
}

void set_bits(std::vector<std::byte>& bitmap, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i)
    bitmap[i / 8] |= static_cast<std::byte>(1U << i % 8);
}

}  // namespace

std::uint64_t WindowsDump::sum() const {
  std::uint64_t out = 0;
  for (const auto& [frame, count] : runs) out += count;
  return out;
}

std::vector<std::byte> WindowsDump::pages() const { return pattern(sum() * kPage, type + bits); }

void WindowsDump::put_header(ImageBytes& out) const {
  const unsigned word = bits / 8;
  const std::uint64_t count = run_count == ~0ULL ? runs.size() : run_count;
  const std::uint64_t total = page_count == ~0ULL ? sum() : page_count;
  out.text("PAGE").text(bits == 64 ? "DU64" : "DUMP").le(15, 4).le(19041, 4);
  out.le(dtb, word).le(0xFFFFFA8000000000, word).le(0xFFFFF80001234560, word);
  out.le(0xFFFFF80001234580, word);
  out.le(machine, 4).le(3, 4).le(0xD1, 4);
  if (bits == 64) out.text("PAGE");
  out.le(0x11, word).le(0x22, word).le(0x33, word).le(0x44, word);
  out.zeros(32);
  if (bits == 32) out.le(1, 1).le(0, 3);
  out.le(0xFFFFF80001234000, word);
  out.le(count, 4);
  if (bits == 64) out.text("PAGE");
  out.le(total, word);
  for (const auto& [frame, pages] : runs)
    if (type == 1) out.le(frame, word).le(pages, word);
  fill_with_page(out, bits == 64 ? 0x348 : 0x320);
  put_context(out);
  fill_with_page(out, header());
  const bool wide = bits == 64;
  out.place(wide ? 0xF98 : 0xF88, type, 4);
  out.place(wide ? 0xFA8 : 0xFC0, 0x01DB3C7A5B2C0000, 8);  // 2024-11-21
  out.place(wide ? 0xFB0 : 0x820, std::string_view("taken by hand\0", 14));
}

void WindowsDump::put_context(ImageBytes& out) const {
  const std::size_t at = out.size();
  if (bits == 64) {
    out.zeros(0x4D0).place(at + 0x30, context_flags, 4);
    out.place(at + 0x38, 0x10, 2).place(at + 0x42, 0x18, 2).place(at + 0x44, 0x246, 4);
    out.place(at + 0x78, 0xAAAA0001, 8).place(at + 0x98, 0xFFFF900000001000, 8);
    out.place(at + 0xF0, 0xF15, 8).place(at + 0xF8, 0xFFFFF80001000000, 8);
    out.place(at + 0x70, 0x400, 8);
  } else {
    out.zeros(0x2CC).place(at, context_flags, 4).place(at + 0x18, 0x400, 4);
    out.place(at + 0xB0, 0xAAAA0001, 4).place(at + 0xB4, 0x8055AAAA, 4);
    out.place(at + 0xB8, 0x80501234, 4).place(at + 0xBC, 0x8, 4).place(at + 0xC0, 0x246, 4);
    out.place(at + 0xC4, 0x8054FFFF, 4).place(at + 0xC8, 0x10, 4);
  }
}

std::uint64_t WindowsDump::count_of_bits() const {
  std::uint64_t end = 0;
  for (const auto& [frame, count] : runs) end = std::max(end, frame + count);
  return end + extra_bits;
}

void WindowsDump::put_bitmap(ImageBytes& out) const {
  const std::uint64_t bit_count = count_of_bits();
  std::vector<std::byte> bitmap((bit_count + 7) / 8);
  for (const auto& [frame, count] : runs) set_bits(bitmap, frame, count);
  // Bits of the last byte that stand for no page.
  for (std::uint64_t i = bit_count; i < bitmap.size() * 8; ++i) set_bits(bitmap, i, 1);
  const std::size_t at = out.size();
  const std::size_t first_page = (at + 0x38 + bitmap.size() + kPage - 1) / kPage * kPage;
  out.text(bitmap_magic).zeros(24).le(first_page, 8);
  out.le(page_count == ~0ULL ? sum() : page_count, 8);
  out.le(bitmap_bits == ~0ULL ? bit_count : bitmap_bits, 8).add(bitmap).until(first_page);
}

void WindowsDump::put_summary(ImageBytes& out) const {
  const std::uint64_t bit_count = count_of_bits();
  std::vector<std::byte> bitmap((bit_count + 31) / 32 * 4);
  for (const auto& [frame, count] : runs) set_bits(bitmap, frame, count);
  const std::size_t start = bits == 64 ? 0x28 : 0x20;
  const std::size_t first_page = (out.size() + start + bitmap.size() + kPage - 1) / kPage * kPage;
  out.text("SDMPDUMP").le(0, 4).le(first_page, 4).le(bit_count, 4).le(sum(), 4);
  out.le(bit_count, 4).zeros(start - 0x1C).add(bitmap).until(first_page);
}

void WindowsDump::put_list(ImageBytes& out) const {
  const std::size_t at = out.size();
  const std::size_t data = (at + 0x40 + 16 * runs.size() + kPage - 1) / kPage * kPage;
  out.le(0x40, 4).text("RDMPDUMP").le(0, 4).le(data - at - 0x40 + 0x20, 8).le(data, 8);
  if (type == 10)
    out.le(runs.size(), 4).le(0, 4).le(page_count == ~0ULL ? sum() : page_count, 8);
  else
    out.zeros(16);
  for (const auto& [frame, count] : runs) out.le(frame, 8).le(count, 8);
  out.zeros(16).until(data, std::byte{});
}

ImageBytes WindowsDump::image() const {
  ImageBytes out;
  put_header(out);
  if (type == 5 || type == 6) put_bitmap(out);
  if (type == 2) put_summary(out);
  if (type >= 8) put_list(out);
  return out.add(pages());
}

}  // namespace microvmi::test
