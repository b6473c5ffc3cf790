// SPDX-License-Identifier: Apache-2.0
// Finds the sections by name, and puts the pages where .xen_pfn or .xen_p2m say.
#include "connector/coredump/xen_core.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "connector/coredump/fields.hpp"
#include "connector/coredump/pieces.hpp"
#include "connector/coredump/vcpu_notes.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint16_t kMostSections = 1024;
constexpr std::size_t kLongestNames = 64 << 10;
constexpr std::size_t kLongestNotes = 64 << 10;
constexpr std::uint64_t kMostXenVcpus = 4096;         // of a Xen guest, far more than any has
constexpr std::uint64_t kMostXenFrames = 1ULL << 40;  // 52 bits of physical address
constexpr std::size_t kEntriesPerLook = 4096;         // of the table, between looks at the clock
constexpr std::uint32_t kNoteHeader = 0x2000001;      // XEN_ELFNOTE_DUMPCORE_HEADER
constexpr std::uint32_t kNoteVersion = 0x2000002;     // XEN_ELFNOTE_DUMPCORE_XEN_VERSION
constexpr std::uint64_t kMagicPv = 0xF00FEBED;        // XC_CORE_MAGIC
constexpr std::uint64_t kMagicHvm = 0xF00FEBEE;       // XC_CORE_MAGIC_HVM

struct Sections {
  std::optional<Elf64_Shdr> pages;
  std::optional<Elf64_Shdr> pfn;
  std::optional<Elf64_Shdr> p2m;
  std::optional<Elf64_Shdr> prstatus;
  std::optional<Elf64_Shdr> notes;
};

struct Heading {
  std::uint64_t magic = 0;
  std::uint64_t vcpus = 0;
  std::uint64_t page_size = kPageSize;
  std::string version;
};

void keep(Sections& into, std::string_view name, const Elf64_Shdr& section) {
  if (name == ".xen_pages") into.pages = section;
  if (name == ".xen_pfn") into.pfn = section;
  if (name == ".xen_p2m") into.p2m = section;
  if (name == ".xen_prstatus") into.prstatus = section;
  if (name == ".note.Xen") into.notes = section;
}

// Without segments there are sections; nullopt where this is another kind of ELF file.
std::optional<Sections> sections_of(const Source& source) {
  Elf64_Ehdr head{};
  if (!source.get(0, head) || head.e_ident[EI_CLASS] != ELFCLASS64 ||
      head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_phnum != 0 ||
      head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shnum > kMostSections)
    return std::nullopt;
  std::vector<Elf64_Shdr> all(head.e_shnum);
  if (!source.copy(head.e_shoff, std::as_writable_bytes(std::span(all))) ||
      head.e_shstrndx >= all.size())
    return std::nullopt;
  const Elf64_Shdr& strings = all[head.e_shstrndx];
  std::vector<std::byte> names(std::min<std::uint64_t>(strings.sh_size, kLongestNames));
  if (!source.copy(strings.sh_offset, names)) return std::nullopt;
  const Fields text(names);
  Sections out;
  for (const Elf64_Shdr& one : all)
    if (one.sh_name < names.size())
      keep(out, text.text(one.sh_name, names.size() - one.sh_name), one);
  return out.pages ? std::optional(out) : std::nullopt;
}

Heading read_notes(const Source& source, const std::optional<Elf64_Shdr>& section) {
  Heading out;
  if (!section) return out;
  std::vector<std::byte> bytes(std::min<std::uint64_t>(section->sh_size, kLongestNotes));
  if (!source.copy(section->sh_offset, bytes)) return out;
  const Fields all(bytes);
  for (std::size_t at = 0; all.holds(at, sizeof(Elf64_Nhdr));) {
    const auto name_size = (std::uint64_t{all.get<std::uint32_t>(at)} + 3) / 4 * 4;
    const auto size = all.get<std::uint32_t>(at + 4);
    const auto type = all.get<std::uint32_t>(at + 8);
    const std::uint64_t start = at + sizeof(Elf64_Nhdr) + name_size;
    if (!all.holds(start, size)) break;
    const Fields text = all.from(start);
    if (type == kNoteHeader && size >= 32) {
      out.magic = text.get<std::uint64_t>(0);
      out.vcpus = text.get<std::uint64_t>(8);
      out.page_size = text.get<std::uint64_t>(24);
    }
    if (type == kNoteVersion && size >= 32)
      out.version = fmt::format("{}.{}{}", text.get<std::uint64_t>(0), text.get<std::uint64_t>(8),
                                text.text(16, 16));
    at = start + (std::uint64_t{size} + 3) / 4 * 4;
  }
  return out;
}

// Each entry of the table has the frame of one page, in the order in which the pages lie.
class Table {
 public:
  Table(const Source& source, const Elf64_Shdr& table, const Elf64_Shdr& pages, unsigned words)
      : source_(source), table_(table), pages_(pages), words_(words) {}

  Expected<Pieces> run() {
    const std::uint64_t entry = words_ * sizeof(std::uint64_t);
    const std::uint64_t count = std::min(table_.sh_size / entry, pages_.sh_size / kPageSize);
    std::vector<std::uint64_t> some;
    for (std::uint64_t done = 0; done < count;) {
      if (const Errc over = source_.options.wait.over(); over != Errc::none)
        return fail(over, "the pages of " + source_.name() + " were not listed in time");
      const auto now = std::min<std::uint64_t>(count - done, kEntriesPerLook);
      some.resize(now * words_);
      if (table_.sh_offset > source_.size() ||
          !source_.copy(table_.sh_offset + done * entry, std::as_writable_bytes(std::span(some))))
        return fail(Errc::io, source_.name() + " is cut off before its list of pages");
      for (std::uint64_t i = 0; i < now; ++i)
        if (auto kept = keep(some[i * words_], done + i); !kept)
          return std::unexpected(std::move(kept.error()));
      done += now;
    }
    return std::move(out_);
  }

 private:
  Expected<void> keep(std::uint64_t frame, std::uint64_t index) {
    if (frame >= kMostXenFrames) return {};  // ~0 stands for no page
    const Extent page{frame * kPageSize, kPageSize, pages_.sh_offset + index * kPageSize};
    if (page.offset < pages_.sh_offset || !out_.add(page, source_.size()))
      return bad_piece(source_, page);
    return {};
  }

  const Source& source_;
  const Elf64_Shdr& table_;
  const Elf64_Shdr& pages_;
  unsigned words_;
  Pieces out_;
};

std::vector<Registers> read_vcpus(const Source& source, const Sections& sections, bool is_hvm) {
  std::vector<Registers> out;
  if (!sections.prstatus || sections.prstatus->sh_entsize != kXenContextSize) return out;
  const std::uint64_t count = std::min(sections.prstatus->sh_size / kXenContextSize, kMostXenVcpus);
  std::vector<std::byte> context(kXenContextSize);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = sections.prstatus->sh_offset + i * kXenContextSize;
    if (at < sections.prstatus->sh_offset || !source.copy(at, context)) break;
    out.push_back(xen_registers(context, is_hvm).value_or(Registers{}));
  }
  return out;
}

}  // namespace

bool is_xen_core(const Source& source) { return sections_of(source).has_value(); }

Expected<Image> open_xen_core(const Source& source) {
  const auto sections = sections_of(source);
  if (!sections) return fail(Errc::protocol, source.name() + " is no core of Xen");
  const Heading heading = read_notes(source, sections->notes);
  if (heading.page_size != kPageSize)
    return fail(Errc::not_supported, fmt::format("{} has pages of {:#x} bytes, not of 4 KiB",
                                                 source.name(), heading.page_size));
  const auto& table = sections->pfn ? sections->pfn : sections->p2m;
  if (!table || !sections->pages)
    return fail(Errc::protocol, source.name() +
                                    " has neither a section .xen_pfn nor .xen_p2m, "
                                    "which say where its pages belong");
  auto pieces = Table(source, *table, *sections->pages, sections->pfn ? 1 : 2).run();
  if (!pieces) return std::unexpected(std::move(pieces.error()));
  const bool is_pv = heading.magic == kMagicPv || (heading.magic != kMagicHvm && !sections->pfn);
  Image image;
  image.vcpus = read_vcpus(source, *sections, !is_pv);
  if (heading.vcpus != 0 && heading.vcpus <= kMostXenVcpus)
    image.info.vcpus = static_cast<std::uint32_t>(heading.vcpus);
  image.info.facts = {{"format", "elf64"},
                      {"architecture", "x86_64"},
                      {"file_size", source.size()},
                      {"writer", heading.version.empty() ? "xen" : "xen " + heading.version},
                      {"guest_type", is_pv ? "pv" : "hvm"}};
  if (auto done = std::move(*pieces).finish(image, source); !done)
    return std::unexpected(std::move(done.error()));
  return image;
}

}  // namespace microvmi::coredump_connector
