// SPDX-License-Identifier: Apache-2.0
// The numbers are offsets of "ELF Header", "Program Header" and "Section Header" in the System V
// ABI.
#include "support/elf_image.hpp"

#include <algorithm>
#include <fstream>
#include <span>

namespace microvmi::test {
namespace {

class Bytes {
 public:
  explicit Bytes(bool big_endian) : big_endian_(big_endian) {}

  void at(std::uint64_t offset, unsigned size, std::uint64_t value) {
    if (bytes.size() < offset + size) bytes.resize(offset + size);
    for (unsigned i = 0; i < size; ++i) {
      const unsigned shift = 8 * (big_endian_ ? size - 1 - i : i);
      bytes[offset + i] = static_cast<std::byte>(value >> shift);
    }
  }

  std::vector<std::byte> bytes;

 private:
  bool big_endian_;
};

void put_program_header(Bytes& out, unsigned bits, std::uint64_t at, const ElfSegment& one) {
  const std::uint64_t memsz = one.memsz.value_or(one.filesz);
  out.at(at, 4, one.type);
  if (bits == 64) {
    out.at(at + 4, 4, one.flags);
    out.at(at + 8, 8, one.offset);
    out.at(at + 16, 8, one.vaddr);
    out.at(at + 24, 8, one.paddr);
    out.at(at + 32, 8, one.filesz);
    out.at(at + 40, 8, memsz);
    out.at(at + 48, 8, 0);
  } else {
    out.at(at + 4, 4, one.offset);
    out.at(at + 8, 4, one.vaddr);
    out.at(at + 12, 4, one.paddr);
    out.at(at + 16, 4, one.filesz);
    out.at(at + 20, 4, memsz);
    out.at(at + 24, 4, one.flags);
    out.at(at + 28, 4, 0);
  }
}

}  // namespace

ElfImage ElfImage::like_qemu() {
  ElfImage image;
  image.shoff = 64;
  image.phoff = 192;
  image.ehsize = 8;
  return image;
}

std::uint64_t ElfImage::table() const { return phoff != 0 ? phoff : bits == 64 ? 64 : 52; }

ElfImage& ElfImage::put(std::uint64_t offset, const std::vector<std::byte>& bytes) {
  data_.emplace_back(offset, bytes);
  end_ = std::max(end_, offset + bytes.size());
  return *this;
}

ElfImage& ElfImage::add(std::uint64_t paddr, const std::vector<std::byte>& bytes,
                        std::uint64_t before) {
  const std::uint64_t offset = end_ + before;
  segments.push_back({.paddr = paddr, .filesz = bytes.size(), .offset = offset});
  return put(offset, bytes);
}

ElfImage& ElfImage::add_note(const std::string& name, std::uint32_t note_type,
                             const std::string& text) {
  Bytes note(big_endian);
  const auto aligned = [](std::size_t size) { return (size + 3) / 4 * 4; };
  note.at(0, 4, name.size() + 1);
  note.at(4, 4, text.size());
  note.at(8, 4, note_type);
  note.bytes.resize(12 + aligned(name.size() + 1) + aligned(text.size()));
  std::ranges::copy(std::as_bytes(std::span(name)), note.bytes.begin() + 12);
  std::ranges::copy(
      std::as_bytes(std::span(text)),
      note.bytes.begin() + 12 + static_cast<std::ptrdiff_t>(aligned(name.size() + 1)));
  segments.push_back({.filesz = note.bytes.size(), .offset = end_, .type = 4});
  return put(end_, note.bytes);
}

std::vector<std::byte> ElfImage::bytes() const {
  const bool is_64 = bits == 64;
  Bytes out(big_endian);
  out.at(0, 4, 0);
  const unsigned char magic[4] = {0x7F, 'E', 'L', 'F'};
  for (unsigned i = 0; i < 4; ++i) out.at(i, 1, magic[i]);
  out.at(4, 1, is_64 ? 2 : 1);
  out.at(5, 1, big_endian ? 2 : 1);
  out.at(6, 1, 1);
  out.at(16, 2, type);
  out.at(18, 2, machine);
  out.at(20, 4, 1);
  const unsigned word = is_64 ? 8 : 4;
  out.at(24 + word, word, table());
  out.at(24 + 2 * word, word, shoff);
  const std::uint64_t rest = 24 + 3 * word;  // e_flags
  out.at(rest + 4, 2, ehsize.value_or(is_64 ? 64 : 52));
  out.at(rest + 6, 2, phentsize.value_or(is_64 ? 56 : 32));
  out.at(rest + 8, 2, phnum.value_or(static_cast<std::uint16_t>(segments.size())));
  out.at(rest + 10, 2, shoff == 0 ? 0 : is_64 ? 64 : 40);
  out.at(rest + 12, 2, shoff == 0 ? 0 : 1);
  out.at(rest + 14, 2, 0);
  if (shoff != 0) {
    out.at(shoff + (is_64 ? 63 : 39), 1, 0);
    out.at(shoff + (is_64 ? 44 : 28), 4, sh_info);
  }
  for (std::size_t i = 0; i < segments.size(); ++i)
    put_program_header(out, bits, table() + i * (is_64 ? 56 : 32), segments[i]);
  for (const auto& [offset, part] : data_) {
    if (out.bytes.size() < offset + part.size()) out.bytes.resize(offset + part.size());
    std::ranges::copy(part, out.bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  return std::move(out.bytes);
}

void ElfImage::write(const std::filesystem::path& file) const { write_file(file, bytes()); }

void write_file(const std::filesystem::path& file, const std::vector<std::byte>& bytes) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> pattern(std::uint64_t size, unsigned seed) {
  std::vector<std::byte> out(size);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (std::byte& byte : out) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<std::byte>(state >> 56) | std::byte{1};
  }
  return out;
}

}  // namespace microvmi::test
