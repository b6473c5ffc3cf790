// SPDX-License-Identifier: Apache-2.0
// ElfImage: writes an ELF core byte by byte from the ELF specification, right or wrong as asked.
// It shares nothing with the library, neither code nor structures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace microvmi::test {

struct ElfSegment {
  std::uint64_t paddr = 0;
  std::uint64_t filesz = 0;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> memsz = std::nullopt;  // as filesz
  std::uint32_t type = 1;                             // PT_LOAD
  std::uint32_t flags = 0;                            // QEMU sets none
  std::uint64_t vaddr = 0;
};

struct ElfImage {
  unsigned bits = 64;
  bool big_endian = false;
  std::uint16_t type = 4;      // ET_CORE
  std::uint16_t machine = 62;  // EM_X86_64
  std::uint64_t phoff = 0;     // 0: right behind the header
  std::uint64_t shoff = 0;
  std::uint32_t sh_info = 0;  // of section 0, written where shoff is not 0
  std::optional<std::uint16_t> phnum = std::nullopt;
  std::optional<std::uint16_t> phentsize = std::nullopt;
  std::optional<std::uint16_t> ehsize = std::nullopt;
  std::vector<ElfSegment> segments{};

  // With the headers where QEMU puts them: section headers at 64, program headers at 192, and an
  // e_ehsize of 8.
  static ElfImage like_qemu();

  // A segment whose bytes go to the end of the file, with `before` bytes of something else first.
  ElfImage& add(std::uint64_t paddr, const std::vector<std::byte>& bytes, std::uint64_t before = 0);
  ElfImage& add_note(const std::string& name, std::uint32_t note_type, const std::string& text);
  ElfImage& put(std::uint64_t offset, const std::vector<std::byte>& bytes);

  [[nodiscard]] std::vector<std::byte> bytes() const;
  void write(const std::filesystem::path& file) const;

 private:
  [[nodiscard]] std::uint64_t table() const;

  std::vector<std::pair<std::uint64_t, std::vector<std::byte>>> data_;
  std::uint64_t end_ = 64 << 10;  // behind all headers of any test
};

void write_file(const std::filesystem::path& file, const std::vector<std::byte>& bytes);

// Bytes that differ from page to page and are never zero.
std::vector<std::byte> pattern(std::uint64_t size, unsigned seed = 1);

}  // namespace microvmi::test
