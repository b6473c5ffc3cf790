// SPDX-License-Identifier: Apache-2.0
// ELF cores as QEMU, libvirt and microvmi write them: a segment for each piece of memory.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "connector/coredump/elf_headers.hpp"
#include "connector/coredump/elf_notes.hpp"
#include "connector/coredump/mapped_memory.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kFourGiB = 1ULL << 32;
// What the Intel chipsets decode as firmware below 4 GiB (ICH9 datasheet, FWH decode): RAM is
// never there, so that a segment that ends at 4 GiB and is no longer holds a flash or its copy.
constexpr std::uint64_t kMostFirmware = 16 << 20;

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
  const bool is_firmware =
      segment.paddr + segment.memsz == kFourGiB && segment.memsz <= kMostFirmware;
  return is_x86 && is_firmware ? rom : ram;
}

// What the segments say, split into what the file holds and what it ends before.
struct Pieces {
  std::vector<Extent> present;
  std::vector<Extent> missing;
};

Pieces pieces_of(const ElfHeaders& headers, std::uint64_t file_size, bool is_ours) {
  Pieces out;
  out.present.reserve(headers.loads.size());
  for (const Segment& segment : headers.loads) {
    const std::uint64_t wanted = std::min(segment.filesz, segment.memsz);
    const std::uint64_t room = file_size - std::min(file_size, segment.offset);
    const std::uint64_t size = std::min(wanted, room);
    const auto kind = kind_of(segment, headers, is_ours);
    if (size != 0) out.present.push_back({segment.paddr, size, segment.offset, kind});
    if (size != wanted)
      out.missing.push_back({segment.paddr + size, wanted - size, segment.offset + size, kind});
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
    const auto headers = read_elf_headers(source);
    if (!headers) return std::unexpected(headers.error());
    const ElfNotes notes = read_elf_notes(source, *headers);
    if (is_of_a_program(*headers, notes))
      return fail(Errc::not_supported,
                  source.name() + " is the core of a program, which holds no physical memory");
    const bool is_ours = notes.writer && notes.writer->starts_with("microvmi");
    Pieces pieces = pieces_of(*headers, source.size(), is_ours);
    auto present = resolve(std::move(pieces.present), source.options.wait);
    if (!present) return std::unexpected(present.error());
    auto missing = resolve(std::move(pieces.missing), source.options.wait);
    if (!missing) return std::unexpected(missing.error());
    if (present->empty())
      return missing->empty()
                 ? fail(Errc::protocol, source.name() + " has no segment with memory in it")
                 : fail(Errc::io, source.name() + " is cut off before its first memory");
    Image image{.memory = nullptr, .info = info_of(source, *headers, notes)};
    add_missing(image.info, source, *missing);
    image.memory =
        std::make_unique<MappedMemory>(source.file, *std::move(present), *std::move(missing));
    if (image.memory->map()->regions.empty())
      return fail(Errc::protocol, source.name() + " has no whole page of memory in it");
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
    if (notes.has_vmcoreinfo) info.facts.push_back({"vmcoreinfo", true});
    return info;
  }

  static void add_missing(GuestInfo& info, const Source& source,
                          const std::vector<Extent>& missing) {
    info.facts.push_back({"truncated", !missing.empty()});
    if (missing.empty()) return;
    info.facts.push_back({"missing_bytes", sum(missing)});
    info.facts.push_back({"first_missing", missing.front().gpa});
    source.log(fmt::format("is cut off: {} bytes of memory from {:#x} on are not in it",
                           sum(missing), missing.front().gpa));
  }
};

}  // namespace

const Format& elf_format() {
  static const ElfFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
