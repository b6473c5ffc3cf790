// SPDX-License-Identifier: Apache-2.0
// What an ELF64 file says of itself, read with the system's <elf.h>; tests alone use it.
#pragma once

#include <elf.h>

#include <cstring>
#include <string>
#include <vector>

namespace microvmi::test {

struct ElfFile {
  Elf64_Ehdr head{};
  std::vector<Elf64_Phdr> loads;
  std::string note;  // the text of ours

  explicit ElfFile(const std::vector<std::byte>& file) {
    get(file, 0, head);
    std::uint64_t count = head.e_phnum;
    if (count == PN_XNUM) {
      Elf64_Shdr section{};
      get(file, head.e_shoff, section);
      count = section.sh_info;
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      Elf64_Phdr segment{};
      get(file, head.e_phoff + i * head.e_phentsize, segment);
      if (segment.p_type == PT_LOAD) loads.push_back(segment);
      if (segment.p_type == PT_NOTE) read_note(file, segment);
    }
  }

 private:
  template <class T>
  static void get(const std::vector<std::byte>& file, std::uint64_t at, T& value) {
    if (at <= file.size() && sizeof(value) <= file.size() - at)
      std::memcpy(&value, file.data() + at, sizeof(value));
  }

  void read_note(const std::vector<std::byte>& file, const Elf64_Phdr& segment) {
    Elf64_Nhdr nhdr{};
    get(file, segment.p_offset, nhdr);
    const auto* text = reinterpret_cast<const char*>(file.data() + segment.p_offset);
    const std::uint64_t name_room = (nhdr.n_namesz + 3) / 4 * 4;
    note.assign(text + sizeof(nhdr) + name_room, nhdr.n_descsz);
  }
};

}  // namespace microvmi::test
