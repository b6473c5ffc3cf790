// SPDX-License-Identifier: Apache-2.0
// Reads what QEMU really writes: section headers first, a wrong e_ehsize, numbers past 65534.
#include "connector/coredump/elf_headers.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <array>

namespace microvmi::coredump_connector {
namespace {

// A fully fragmented guest of 16 GiB; more would take gigabytes of our own memory.
constexpr std::uint64_t kMostSegments = 1 << 22;
constexpr std::uint64_t kMostNotes = 1024;
constexpr std::uint64_t kHeadersPerLook = 1 << 12;  // read at once, between looks at the clock

struct Elf32 {
  static constexpr unsigned kBits = 32;
  using Head = Elf32_Ehdr;
  using Program = Elf32_Phdr;
  using Section = Elf32_Shdr;
};
struct Elf64 {
  static constexpr unsigned kBits = 64;
  using Head = Elf64_Ehdr;
  using Program = Elf64_Phdr;
  using Section = Elf64_Shdr;
};

std::unexpected<Error> nonsense(const Source& source, const std::string& what) {
  return fail(Errc::protocol, source.name() + " is no proper ELF core: " + what);
}

std::unexpected<Error> cut_off(const Source& source, const char* before) {
  return fail(Errc::io, fmt::format("{} is cut off before its {} ({} bytes are there)",
                                    source.name(), before, source.size()));
}

template <class Elf>
class HeaderReader {
 public:
  explicit HeaderReader(const Source& source) : source_(source) {}

  Expected<ElfHeaders> run() {
    if (!source_.get(0, head_)) return cut_off(source_, "ELF header");
    if (auto done = check(); !done) return std::unexpected(done.error());
    const auto count = count_segments();
    if (!count) return std::unexpected(count.error());
    out_.bits = Elf::kBits;
    out_.machine = head_.e_machine;
    if (auto done = read_table(*count); !done) return std::unexpected(done.error());
    return std::move(out_);
  }

 private:
  using Program = typename Elf::Program;

  Expected<void> check() const {
    if (head_.e_type != ET_CORE)
      return nonsense(source_,
                      fmt::format("its e_type is {}, a core has {}", head_.e_type, ET_CORE));
    if (head_.e_phnum == 0)
      return fail(Errc::not_supported, source_.name() + " has no program headers", {},
                  "a core of QEMU, libvirt or VirtualBox has them, one of Xen has a section "
                  ".xen_pages instead");
    if (head_.e_phentsize != sizeof(Program))
      return nonsense(source_, fmt::format("its e_phentsize is {}, it must be {}",
                                           head_.e_phentsize, sizeof(Program)));
    return {};
  }

  Expected<std::uint64_t> count_segments() const {
    if (head_.e_phnum != PN_XNUM) return head_.e_phnum;
    typename Elf::Section first{};
    if (head_.e_shoff == 0) return nonsense(source_, "e_phnum is 0xffff without section headers");
    if (!source_.get(head_.e_shoff, first)) return cut_off(source_, "section headers");
    return first.sh_info;
  }

  Expected<void> read_table(std::uint64_t count) {
    if (count > kMostSegments)
      return fail(Errc::not_supported, fmt::format("{} has {} segments; {} at most are read",
                                                   source_.name(), count, kMostSegments));
    const std::uint64_t size = count * sizeof(Program);
    if (head_.e_phoff > source_.size() || size > source_.size() - head_.e_phoff)
      return cut_off(source_, "program headers");
    std::vector<Program> some;
    for (std::uint64_t done = 0; done < count; done += some.size()) {
      if (const Errc over = source_.options.wait.over(); over != Errc::none)
        return fail(over, "the headers of " + source_.name() + " were not read in time");
      some.resize(std::min(count - done, kHeadersPerLook));
      if (!source_.copy(head_.e_phoff + done * sizeof(Program),
                        std::as_writable_bytes(std::span(some))))
        return cut_off(source_, "program headers");
      for (const Program& one : some)
        if (auto kept = keep(one); !kept) return kept;
    }
    return {};
  }

  Expected<void> keep(const Program& one) {
    const Segment segment{one.p_type,  one.p_flags,  one.p_offset, one.p_vaddr,
                          one.p_paddr, one.p_filesz, one.p_memsz};
    if (segment.type == PT_NOTE && out_.notes.size() < kMostNotes) out_.notes.push_back(segment);
    if (segment.type != PT_LOAD || std::min(segment.filesz, segment.memsz) == 0) return {};
    // The last byte of all could not be told from address 0, where its end would be.
    if (segment.filesz > ~segment.paddr || segment.filesz > ~segment.offset)
      return nonsense(source_,
                      fmt::format("a segment of {:#x} bytes at {:#x} goes past the last address",
                                  segment.filesz, segment.paddr));
    out_.loads.push_back(segment);
    return {};
  }

  const Source& source_;
  typename Elf::Head head_{};
  ElfHeaders out_;
};

}  // namespace

Expected<ElfHeaders> read_elf_headers(const Source& source) {
  std::array<unsigned char, EI_NIDENT> ident{};
  if (!source.get(0, ident)) return cut_off(source, "ELF header");
  if (ident[EI_DATA] == ELFDATA2MSB)
    return fail(Errc::not_supported,
                source.name() + " is a big-endian ELF core; this build reads little-endian ones");
  if (ident[EI_DATA] != ELFDATA2LSB)
    return nonsense(source, fmt::format("its byte order is {}", ident[EI_DATA]));
  if (ident[EI_CLASS] == ELFCLASS64) return HeaderReader<Elf64>(source).run();
  if (ident[EI_CLASS] == ELFCLASS32) return HeaderReader<Elf32>(source).run();
  return nonsense(source, fmt::format("its class is {}", ident[EI_CLASS]));
}

}  // namespace microvmi::coredump_connector
