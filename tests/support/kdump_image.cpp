// SPDX-License-Identifier: Apache-2.0
// Offsets are those of makedumpfile's disk_dump_header, kdump_sub_header and page_desc.
#include "support/kdump_image.hpp"

#include <cstring>

namespace microvmi::test {
namespace {

template <class T>
void put(std::vector<std::byte>& to, std::size_t at, T value) {
  if (to.size() < at + sizeof(value)) to.resize(at + sizeof(value));
  std::memcpy(to.data() + at, &value, sizeof(value));
}

void put_text(std::vector<std::byte>& to, std::size_t at, const std::string& text) {
  if (to.size() < at + text.size()) to.resize(at + text.size());
  std::memcpy(to.data() + at, text.data(), text.size());
}

void put_big_endian(std::vector<std::byte>& to, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8)
    to.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

void set_bit(std::vector<std::byte>& to, std::size_t at, std::uint64_t bit) {
  if (to.size() <= at + bit / 8) to.resize(at + bit / 8 + 1);
  to[at + bit / 8] |= static_cast<std::byte>(1U << bit % 8);
}

void put_sub_header(std::vector<std::byte>& to, const KdumpImage& image, std::size_t at) {
  const std::uint64_t text_at = image.vmcoreinfo.empty() ? 0 : at + 0x200;
  put_text(to, at + 0x200, image.vmcoreinfo);
  if (image.bits == 32) {
    put<std::int32_t>(to, at + 0x04, image.dump_level);
    put<std::int32_t>(to, at + 0x08, image.split);
    put<std::uint32_t>(to, at + 0x0c, static_cast<std::uint32_t>(image.first));
    put<std::uint32_t>(to, at + 0x10, static_cast<std::uint32_t>(image.last));
    put<std::uint64_t>(to, at + 0x14, text_at);
    put<std::uint32_t>(to, at + 0x1c, static_cast<std::uint32_t>(image.vmcoreinfo.size()));
    put<std::uint64_t>(to, at + 0x38, image.first);
    put<std::uint64_t>(to, at + 0x40, image.last);
    put<std::uint64_t>(to, at + 0x48, image.max_mapnr);
    return;
  }
  put<std::int32_t>(to, at + 0x08, image.dump_level);
  put<std::int32_t>(to, at + 0x0c, image.split);
  put<std::uint64_t>(to, at + 0x10, image.first);
  put<std::uint64_t>(to, at + 0x18, image.last);
  put<std::uint64_t>(to, at + 0x20, text_at);
  put<std::uint64_t>(to, at + 0x28, image.vmcoreinfo.size());
  put<std::uint64_t>(to, at + 0x50, image.first);
  put<std::uint64_t>(to, at + 0x58, image.last);
  put<std::uint64_t>(to, at + 0x60, image.max_mapnr);
}

}  // namespace

std::vector<std::byte> KdumpImage::bytes() const {
  const auto block = static_cast<std::size_t>(block_size > 0 ? block_size : 4096);
  const std::size_t one_bitmap = (max_mapnr / 8 / block + 1) * block;
  const std::size_t bitmaps = (1 + static_cast<std::size_t>(sub_blocks)) * block;
  std::vector<std::byte> out;
  put_text(out, 0, "KDUMP   ");
  put<std::int32_t>(out, 8, version);
  put_text(out, 0xc + 4 * 65, machine);
  const std::size_t status_at = bits == 64 ? 0x1a8 : 0x19c;
  put<std::uint32_t>(out, status_at, status);
  put<std::int32_t>(out, status_at + 4, block_size);
  put<std::int32_t>(out, status_at + 8, sub_blocks);
  put<std::uint32_t>(out, status_at + 12,
                     bitmap_blocks.value_or(static_cast<std::uint32_t>(2 * one_bitmap / block)));
  put<std::uint32_t>(out, status_at + 16, static_cast<std::uint32_t>(max_mapnr));
  put<std::int32_t>(out, status_at + 36, 2);
  put_sub_header(out, *this, block);
  out.resize(bitmaps + 2 * one_bitmap);
  for (const KdumpPage& page : pages) {
    set_bit(out, bitmaps, page.number);
    set_bit(out, bitmaps + one_bitmap, page.number);
  }
  for (const std::uint64_t number : excluded) set_bit(out, bitmaps, number);
  for (const std::uint64_t number : beyond) set_bit(out, bitmaps + one_bitmap, number);
  std::vector<const KdumpPage*> here;
  for (const KdumpPage& page : pages)
    if (split == 0 || (page.number >= first && page.number < last)) here.push_back(&page);
  std::size_t descriptor = out.size();
  out.resize(descriptor + 24 * here.size());
  for (const KdumpPage* page : here) {
    put<std::uint64_t>(out, descriptor, page->offset.value_or(out.size()));
    put<std::uint32_t>(out, descriptor + 8,
                       page->size.value_or(static_cast<std::uint32_t>(page->stored.size())));
    put<std::uint32_t>(out, descriptor + 12, page->flags);
    descriptor += 24;
    out.insert(out.end(), page->stored.begin(), page->stored.end());
  }
  return out;
}

std::vector<std::byte> flattened(const std::vector<FlatRecord>& records, bool with_end) {
  std::vector<std::byte> out;
  put_text(out, 0, "makedumpfile");
  out.resize(16);
  put_big_endian(out, 1);
  put_big_endian(out, 1);
  out.resize(4096);
  for (const FlatRecord& record : records) {
    put_big_endian(out, record.offset);
    put_big_endian(out, record.size.value_or(record.bytes.size()));
    out.insert(out.end(), record.bytes.begin(), record.bytes.end());
  }
  if (!with_end) return out;
  put_big_endian(out, ~std::uint64_t{0});
  put_big_endian(out, ~std::uint64_t{0});
  return out;
}

std::vector<FlatRecord> records_of(const std::vector<std::byte>& bytes, std::size_t size) {
  std::vector<FlatRecord> out;
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t some = std::min(size, bytes.size() - at);
    out.push_back({at, {begin, begin + static_cast<std::ptrdiff_t>(some)}});
  }
  return out;
}

}  // namespace microvmi::test
