// SPDX-License-Identifier: Apache-2.0
// ELF header, program headers, one section header where the number needs it, one note.
#include "dump/elf.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "dump/bytes.hpp"

namespace microvmi::dumper {
namespace {

static_assert(std::endian::native == std::endian::little, "headers are written as they lie here");

// Program headers begin right behind the ELF header: makedumpfile looks for them nowhere else.
constexpr std::uint64_t kTable = sizeof(Elf64_Ehdr);
constexpr std::uint64_t kSpare = 16;  // program headers for pieces that come apart meanwhile

std::uint64_t table_size(std::size_t pieces) {
  return (pieces + 1) * sizeof(Elf64_Phdr);  // one for the note
}

Elf64_Ehdr file_header(std::size_t headers, std::uint64_t table, std::uint64_t section,
                       std::uint16_t machine) {
  Elf64_Ehdr head{};
  std::memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_CORE;
  head.e_machine = machine;
  head.e_version = EV_CURRENT;
  head.e_phoff = table;
  head.e_ehsize = sizeof(Elf64_Ehdr);
  head.e_phentsize = sizeof(Elf64_Phdr);
  head.e_phnum = static_cast<Elf64_Half>(headers < PN_XNUM ? headers : PN_XNUM);
  if (headers < PN_XNUM) return head;
  head.e_shoff = section;  // its only section header holds the number
  head.e_shentsize = sizeof(Elf64_Shdr);
  head.e_shnum = 1;
  return head;
}

Elf64_Phdr note_segment(std::uint64_t offset, std::uint64_t size) {
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = offset;
  segment.p_filesz = size;
  segment.p_align = 4;
  return segment;
}

// Without paging, QEMU puts the physical address into both fields, and no alignment; so do we. From
// an alignment crash concludes that it has a netdump before it, in which it finds no VMCOREINFO.
Elf64_Phdr load_segment(const Piece& piece) {
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  if (piece.kind == MemoryRegion::Kind::ram) segment.p_flags |= PF_W;
  segment.p_offset = piece.offset;
  segment.p_vaddr = segment.p_paddr = to_integer(piece.gpa);
  segment.p_filesz = segment.p_memsz = piece.size;
  return segment;
}

void put_table(std::vector<std::byte>& bytes, std::uint64_t offset, const Elf64_Phdr& note,
               std::span<const Piece> pieces) {
  put(bytes, offset, note);
  for (const Piece& piece : pieces) put(bytes, offset += sizeof(Elf64_Phdr), load_segment(piece));
}

}  // namespace

std::uint64_t elf_header_size(std::size_t pieces, std::uint64_t note_size) {
  constexpr std::uint64_t kAlignment = 8;
  return kTable + table_size(pieces + kSpare) + sizeof(Elf64_Shdr) + note_size + kAlignment;
}

std::uint16_t elf_machine(std::string_view architecture) {
  // The spellings of QEMU's targets; the numbers are those of the ELF registry, as in elf.h.
  constexpr std::array<std::pair<std::string_view, std::uint16_t>, 6> kMachines{
      {{"i386", EM_386},
       {"aarch64", EM_AARCH64},
       {"arm", EM_ARM},
       {"riscv", EM_RISCV},
       {"ppc64", EM_PPC64},
       {"s390x", EM_S390}}};
  for (const auto& [name, machine] : kMachines)
    if (name == architecture) return machine;
  return EM_X86_64;
}

// The notes take the end of the head, the section header the place before it.
std::vector<Patch> elf_headers(std::span<const Piece> pieces, std::span<const std::byte> notes,
                               std::uint64_t header_size, std::uint64_t end,
                               std::uint16_t machine) {
  const std::uint64_t note_at = (header_size - notes.size()) / 8 * 8;
  const std::uint64_t section_at = note_at - sizeof(Elf64_Shdr);
  const bool fits = kTable + table_size(pieces.size()) <= section_at;
  std::vector<Patch> patches{{.bytes = std::vector<std::byte>(header_size)}};
  std::vector<std::byte>& head = patches.front().bytes;
  const std::size_t headers = pieces.size() + 1;
  put(head, 0, file_header(headers, fits ? kTable : end, section_at, machine));
  if (headers >= PN_XNUM) {
    Elf64_Shdr section{};
    section.sh_info = static_cast<Elf64_Word>(headers);
    put(head, section_at, section);
  }
  std::ranges::copy(notes, head.begin() + static_cast<std::ptrdiff_t>(note_at));
  const Elf64_Phdr note_header = note_segment(note_at, notes.size());
  if (fits) {
    put_table(head, kTable, note_header, pieces);
  } else {
    patches.push_back({end, std::vector<std::byte>(table_size(pieces.size()))});
    put_table(patches.back().bytes, 0, note_header, pieces);
  }
  return patches;
}

}  // namespace microvmi::dumper
