// SPDX-License-Identifier: Apache-2.0
// ELF cores: of QEMU, libvirt, VirtualBox, kdump and microvmi with a segment for each piece of
// memory, of Xen with sections.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "arch/x86/firmware.hpp"
#include "connector/coredump/elf_headers.hpp"
#include "connector/coredump/elf_notes.hpp"
#include "connector/coredump/pieces.hpp"
#include "connector/coredump/vmcoreinfo.hpp"
#include "connector/coredump/windows_header.hpp"
#include "connector/coredump/xen_core.hpp"

namespace microvmi::coredump_connector {
namespace {

std::string architecture_of(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86_64";
    case EM_386:
      return "i386";
    case EM_AARCH64:
      return "aarch64";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    default:
      return fmt::format("elf machine {}", machine);
  }
}

MemoryRegion::Kind kind_of(const Segment& segment, const ElfHeaders& headers, bool is_ours) {
  using enum MemoryRegion::Kind;
  if (is_ours) return (segment.flags & PF_W) != 0 ? ram : rom;
  const bool is_x86 = headers.machine == EM_X86_64 || headers.machine == EM_386;
  return is_x86 && is_firmware(Gpa{segment.paddr}, segment.memsz) ? rom : ram;
}

Expected<Pieces> pieces_of(const ElfHeaders& headers, const Source& source, bool is_ours) {
  Pieces out;
  for (const Segment& segment : headers.loads) {
    const Extent wanted{segment.paddr, std::min(segment.filesz, segment.memsz), segment.offset,
                        kind_of(segment, headers, is_ours)};
    if (!out.add(wanted, source.size())) return bad_piece(source, wanted);
  }
  return out;
}

// A program's core has virtual addresses alone, a guest's physical ones.
bool is_of_a_program(const ElfHeaders& headers, const ElfNotes& notes) {
  const auto no_place = [](const Segment& one) { return one.paddr == 0 && one.vaddr != 0; };
  return notes.is_of_a_program && std::ranges::all_of(headers.loads, no_place);
}

class ElfFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::elf; }
  bool recognises(const Source& source) const override { return source.has(0, ELFMAG); }

  Expected<Image> open(const Source& source) const override {
    if (!recognises(source))
      return fail(Errc::invalid_argument, source.name() + " does not begin with an ELF header");
    if (is_xen_core(source)) return open_xen_core(source);
    const auto headers = read_elf_headers(source);
    if (!headers) return std::unexpected(headers.error());
    ElfNotes notes = read_elf_notes(source, headers->notes);
    if (is_of_a_program(*headers, notes))
      return fail(Errc::not_supported,
                  source.name() + " is the core of a program, which holds no physical memory");
    const bool is_ours = notes.writer && notes.writer->starts_with("microvmi");
    auto pieces = pieces_of(*headers, source, is_ours);
    if (!pieces) return std::unexpected(std::move(pieces.error()));
    Image image{.memory = nullptr, .info = info_of(source, *headers, notes)};
    image.vcpus = std::move(notes.registers);
    if (auto done = std::move(*pieces).finish(image, source); !done)
      return std::unexpected(std::move(done.error()));
    return image;
  }

 private:
  static GuestInfo info_of(const Source& source, const ElfHeaders& headers, const ElfNotes& notes) {
    GuestInfo info{.vm_name = notes.vm_name, .vcpus = notes.vcpus};
    info.facts = {{"format", headers.bits == 64 ? "elf64" : "elf32"},
                  {"architecture", architecture_of(headers.machine)},
                  {"file_size", source.size()},
                  {"segments", std::uint64_t{headers.loads.size()}}};
    if (notes.writer) info.facts.push_back({"writer", *notes.writer});
    if (notes.vmcoreinfo) add_vmcoreinfo(info, *notes.vmcoreinfo);
    // What a driver in Windows gives to QEMU: the header of a crash dump.
    if (const auto header = parse_windows_header(notes.windows_header))
      for (const Fact& fact : facts_of(*header))
        if (fact.name != "architecture" && fact.name != "dump_type") info.facts.push_back(fact);
    return info;
  }
};

}  // namespace

const Format& elf_format() {
  static const ElfFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
