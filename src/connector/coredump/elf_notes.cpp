// SPDX-License-Identifier: Apache-2.0
// Walks the notes with a bound on how much is looked at.
#include "connector/coredump/elf_notes.hpp"

#include <elf.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kMostBytes = 16 << 20;  // of all notes; a vCPU has about 1 KiB
constexpr std::size_t kLongestName = 64;
constexpr std::size_t kLongestText = 64 << 10;

std::uint64_t align4(std::uint64_t size) { return (size + 3) / 4 * 4; }

class Walk {
 public:
  explicit Walk(const Source& source) : source_(source) {}

  ElfNotes run(const std::vector<Segment>& segments) {
    std::uint64_t left = kMostBytes;
    for (const Segment& segment : segments) {
      std::uint64_t size = std::min(segment.filesz, left);
      left -= size;
      walk(segment.offset, size);
    }
    if (vcpus_ != 0)
      out_.vcpus = vcpus_;
    else if (prstatus_ != 0 && !out_.is_of_a_program)
      out_.vcpus = prstatus_;
    return std::move(out_);
  }

 private:
  void walk(std::uint64_t at, std::uint64_t size) {
    while (size >= sizeof(Elf64_Nhdr)) {
      Elf64_Nhdr note{};  // the same in both classes
      if (at > source_.size() || !source_.get(at, note)) return;
      const std::uint64_t text_at = sizeof(note) + align4(note.n_namesz);
      const std::uint64_t whole = text_at + align4(note.n_descsz);
      if (whole > size) return;
      look(note, name_at(at + sizeof(note), note.n_namesz), at + text_at);
      at += whole;
      size -= whole;
    }
  }

  [[nodiscard]] std::string name_at(std::uint64_t at, std::uint32_t size) const {
    std::string name(std::min<std::size_t>(size, kLongestName), '\0');
    if (!source_.copy(at, std::as_writable_bytes(std::span(name)))) return {};
    return name.substr(0, name.find('\0'));
  }

  void look(const Elf64_Nhdr& note, const std::string& name, std::uint64_t text_at) {
    if (name == "CORE") {
      prstatus_ += note.n_type == NT_PRSTATUS ? 1 : 0;
      out_.is_of_a_program |= note.n_type == NT_AUXV || note.n_type == NT_FILE;
    } else if (name == "QEMU" || name == "VBCPU") {
      ++vcpus_;
      out_.writer = name == "QEMU" ? "qemu" : "virtualbox";
    } else if (name == "VMCOREINFO") {
      out_.has_vmcoreinfo = true;
    } else if (name == "MICROVMI") {
      look_at_ours(text_at, note.n_descsz);
    }
  }

  void look_at_ours(std::uint64_t at, std::uint32_t size) {
    std::string text(std::min<std::size_t>(size, kLongestText), '\0');
    if (!source_.copy(at, std::as_writable_bytes(std::span(text)))) return;
    const auto note = nlohmann::json::parse(text, nullptr, false);
    if (!note.is_object()) return;
    const auto word = [&note](const char* key) -> std::optional<std::string> {
      const auto found = note.find(key);
      if (found == note.end() || !found->is_string()) return std::nullopt;
      return found->get<std::string>();
    };
    out_.writer = word("writer");
    out_.vm_name = word("vm_name");
  }

  const Source& source_;
  ElfNotes out_;
  std::uint32_t vcpus_ = 0;
  std::uint32_t prstatus_ = 0;
};

}  // namespace

ElfNotes read_elf_notes(const Source& source, const ElfHeaders& headers) {
  return Walk(source).run(headers.notes);
}

}  // namespace microvmi::coredump_connector
