// SPDX-License-Identifier: Apache-2.0
// Walks the notes with a bound on how much is looked at.
#include "connector/coredump/elf_notes.hpp"

#include <elf.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "connector/coredump/vcpu_notes.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kMostBytes = 16 << 20;  // of all notes; a vCPU has about 1 KiB
constexpr std::size_t kLongestName = 64;
constexpr std::size_t kLongestText = 64 << 10;
constexpr std::size_t kLongestState = 8 << 10;   // VBCPU has up to 4 KiB of XSAVE behind it
constexpr std::size_t kMostStates = 8192;        // CONFIG_NR_CPUS of Linux goes no further
constexpr std::string_view kWindows = "PAGEDU";  // a 64-bit or 32-bit crash dump begins with it

std::uint64_t align4(std::uint64_t size) { return (size + 3) / 4 * 4; }

using Decoder = std::optional<Registers> (*)(std::span<const std::byte>);

// One after the other; a state that cannot be read keeps its place.
void add(std::vector<Registers>& list, const std::vector<std::byte>& state, Decoder decode) {
  if (list.size() < kMostStates) list.push_back(decode(state).value_or(Registers{}));
}

bool any_known(const std::vector<Registers>& list) {
  return std::ranges::any_of(list, [](const Registers& one) { return one.known().any(); });
}

class Walk {
 public:
  explicit Walk(const Source& source) : source_(source) {}

  ElfNotes run(const std::vector<Segment>& segments) {
    std::uint64_t left = kMostBytes;
    for (const Segment& segment : segments) {
      const std::uint64_t size = std::min(segment.filesz, left);
      left -= size;
      walk(segment.offset, size);
    }
    if (own_.empty() && !out_.is_of_a_program) own_ = std::move(prstatus_);
    for (const Unknown& one : unknown_) forget(one);
    if (!own_.empty()) out_.vcpus = static_cast<std::uint32_t>(own_.size());
    if (any_known(own_)) out_.registers = std::move(own_);
    if (!out_.writer && out_.vmcoreinfo) out_.writer = "kdump";
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

  [[nodiscard]] std::vector<std::byte> bytes_at(std::uint64_t at, std::size_t size) const {
    std::vector<std::byte> bytes(size);
    if (!source_.copy(at, bytes)) bytes.clear();
    return bytes;
  }

  void look(const Elf64_Nhdr& note, const std::string& name, std::uint64_t text_at) {
    const auto state = [&] {
      return bytes_at(text_at, std::min<std::size_t>(note.n_descsz, kLongestState));
    };
    if (name == "CORE") {
      if (note.n_type == NT_PRSTATUS) add(prstatus_, state(), prstatus_registers);
      out_.is_of_a_program |= note.n_type == NT_AUXV || note.n_type == NT_FILE;
    } else if (name == "QEMU") {
      add(own_, state(), qemu_registers);
      if (!out_.writer) out_.writer = "qemu";
    } else if (name == "VBCPU") {
      add(own_, state(), virtualbox_registers);
      if (!out_.writer) out_.writer = "virtualbox";
    } else if (name == "VMCOREINFO") {
      look_at_kernel(text_at, note.n_descsz);
    } else if (name == "MICROVMI") {
      look_at_ours(text_at, note.n_descsz);
    }
  }

  void look_at_kernel(std::uint64_t at, std::uint32_t size) {
    auto bytes = bytes_at(at, std::min<std::size_t>(size, kLongestText));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text.starts_with(kWindows))
      out_.windows_header = std::move(bytes);
    else
      out_.vmcoreinfo = text.substr(0, text.find('\0'));
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
    if (const auto found = note.find("unknown_registers"); found != note.end() && found->is_array())
      for (const auto& one : *found) look_at_unknown(one);
  }

  // What src/dump wrote as 0 because nobody knew it.
  void look_at_unknown(const nlohmann::json& one) {
    constexpr std::size_t kMost = 32;  // as many as are ever written
    const auto number = [&one](const char* key) {
      const auto found = one.find(key);
      return found != one.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
    };
    if (!one.is_object() || unknown_.size() == kMost) return;
    Unknown out{.first = number("first"), .count = number("count"), .mask = {}};
    const auto names = one.find("names");
    if (names == one.end() || !names->is_array()) return;
    for (const auto& name : *names)
      if (const auto* info =
              name.is_string() ? find_register(name.get_ref<const std::string&>()) : nullptr)
        out.mask.set(static_cast<std::size_t>(info->reg));
    unknown_.push_back(out);
  }

  struct Unknown {
    std::uint64_t first;
    std::uint64_t count;
    Registers::Mask mask;
  };
  void forget(const Unknown& unknown) {
    for (std::uint64_t i = unknown.first; i < own_.size() && i - unknown.first < unknown.count; ++i)
      for (const RegisterInfo& info : kRegisters)
        if (unknown.mask[static_cast<std::size_t>(info.reg)]) own_[i].forget(info.reg);
  }

  const Source& source_;
  ElfNotes out_;
  std::vector<Unknown> unknown_;
  std::vector<Registers> own_;       // as the hypervisor tells them
  std::vector<Registers> prstatus_;  // as any Linux core has them, which is less
};

}  // namespace

ElfNotes read_elf_notes(const Source& source, const std::vector<Segment>& segments) {
  return Walk(source).run(segments);
}

}  // namespace microvmi::coredump_connector
