// SPDX-License-Identifier: Apache-2.0
// Just enough of XML for target descriptions, and little-endian values.
#include "qemu/gdb_registers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "host/linux/number.hpp"
#include "qemu/gdb_packet.hpp"

namespace microvmi::qemu {
namespace {

// QEMU's x86 has 70 registers in two documents; these leave room.
constexpr std::size_t kMaxRegisters = 4096;
constexpr std::size_t kMaxDocuments = 32;
constexpr std::size_t kMaxBytes = 512;  // of one register

struct Name {
  std::string_view text;
  Reg reg;
};

// As QEMU's gdb-xml/i386-64bit.xml and i386-32bit.xml call them where we do otherwise.
constexpr std::array kOtherNames{
    Name{"eflags", Reg::rflags}, Name{"k_gs_base", Reg::kernel_gs_base},
    Name{"eax", Reg::rax},       Name{"ebx", Reg::rbx},
    Name{"ecx", Reg::rcx},       Name{"edx", Reg::rdx},
    Name{"esi", Reg::rsi},       Name{"edi", Reg::rdi},
    Name{"ebp", Reg::rbp},       Name{"esp", Reg::rsp},
    Name{"eip", Reg::rip}};

constexpr std::uint64_t kLongMode = 1ULL << 10U;  // EFER.LMA, Intel SDM vol. 3A 2.2.1

std::optional<Reg> reg_of(std::string_view name) {
  const auto* const other = std::ranges::find(kOtherNames, name, &Name::text);
  if (other != kOtherNames.end()) return other->reg;
  const RegisterInfo* info = find_register(name);
  return info ? std::optional(info->reg) : std::nullopt;
}

std::unexpected<Error> wrong(const char* what) {
  return fail(Errc::protocol, fmt::format("gdb stub: its target description {}", what));
}

// `name="value"` within a tag.
std::optional<std::string_view> attribute(std::string_view tag, std::string_view name) {
  for (std::size_t at = 0; (at = tag.find(name, at)) != std::string_view::npos; ++at) {
    const bool begins =
        at > 0 && (tag[at - 1] == ' ' || tag[at - 1] == '\n' || tag[at - 1] == '\t');
    std::string_view rest = tag.substr(at + name.size());
    if (!begins || rest.size() < 2 || rest[0] != '=' || (rest[1] != '"' && rest[1] != '\''))
      continue;
    const std::size_t end = rest.find(rest[1], 2);
    if (end == std::string_view::npos) return std::nullopt;
    return rest.substr(2, end - 2);
  }
  return std::nullopt;
}

class Description {
 public:
  explicit Description(const FetchDocument& fetch) : fetch_(fetch) {}

  Expected<void> read(const std::string& name) {
    if (++documents_ > kMaxDocuments) return wrong("has too many documents");
    const auto text = fetch_(name);
    if (!text) return std::unexpected(text.error());
    return read_text(*text);
  }

  Expected<GdbLayout> finish() && {
    if (layout_.registers.empty()) return wrong("names no register");
    std::ranges::sort(layout_.registers, {}, &GdbRegister::number);
    for (GdbRegister& one : layout_.registers) {
      one.offset = layout_.size;
      if (one.size <= sizeof(std::uint64_t)) one.reg = reg_of(one.name);
      layout_.size += one.size;
    }
    return std::move(layout_);
  }

 private:
  Expected<void> read_text(std::string_view rest) {
    constexpr std::string_view kComment = "<!--";
    constexpr std::string_view kArchitecture = "<architecture>";
    while (!rest.empty()) {
      rest.remove_prefix(std::min(rest.find('<'), rest.size()));
      const bool comment = rest.starts_with(kComment);
      const std::string_view mark = comment ? "-->" : ">";
      const std::size_t end = rest.find(mark);
      if (end == std::string_view::npos)
        return rest.empty() ? Expected<void>{} : wrong("is cut off");
      const std::string_view tag = rest.substr(0, end);
      rest.remove_prefix(end + mark.size());
      if (comment) continue;
      if (tag.size() + 1 == kArchitecture.size() && kArchitecture.starts_with(tag))
        layout_.architecture = rest.substr(0, rest.find('<'));
      if (auto done = take_tag(tag); !done) return done;
    }
    return {};
  }

  Expected<void> take_tag(std::string_view tag) {
    if (tag.starts_with("<reg ") || tag.starts_with("<reg\n")) return take_register(tag);
    if (!tag.starts_with("<xi:include")) return {};
    const auto name = attribute(tag, "href");
    return name ? read(std::string(*name)) : wrong("includes a document without a name");
  }

  Expected<void> take_register(std::string_view tag) {
    const auto name = attribute(tag, "name");
    const auto bits = attribute(tag, "bitsize");
    const auto size = bits ? host::number_of<std::uint32_t>(*bits) : std::nullopt;
    if (!name || !size || *size == 0 || *size % 8 != 0 || *size / 8 > kMaxBytes)
      return wrong("has a register without a name or size");
    if (const auto number = attribute(tag, "regnum")) {
      const auto given = host::number_of<std::uint32_t>(*number);
      if (!given || *given > kMaxRegisters) return wrong("has a register with a wrong number");
      next_ = *given;
    }
    if (layout_.registers.size() >= kMaxRegisters) return wrong("has too many registers");
    layout_.registers.push_back({.name = std::string(*name), .number = next_++, .size = *size / 8});
    return {};
  }

  const FetchDocument& fetch_;
  GdbLayout layout_;
  std::size_t documents_ = 0;
  std::uint32_t next_ = 0;
};

std::optional<std::uint64_t> little_endian(std::string_view hex) {
  const auto bytes = from_hex(hex);
  if (!bytes) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = bytes->size(); i-- > 0;)
    value = value << 8U | static_cast<unsigned char>((*bytes)[i]);
  return value;
}

}  // namespace

Expected<GdbLayout> read_gdb_layout(const FetchDocument& fetch) {
  Description description(fetch);
  if (auto done = description.read("target.xml"); !done)
    return std::unexpected(std::move(done.error()));
  return std::move(description).finish();
}

Expected<Registers> parse_gdb_registers(const GdbLayout& layout, std::string_view hex) {
  // Some stubs leave out what stands at the end; what is there must fit.
  if (hex.size() % 2 != 0 || hex.size() / 2 > layout.size)
    return fail(Errc::protocol, fmt::format("gdb stub: {} bytes of registers where {} were "
                                            "announced",
                                            hex.size() / 2, layout.size));
  Registers out;
  for (const GdbRegister& one : layout.registers) {
    if (!one.reg || one.offset + one.size > hex.size() / 2) continue;
    const auto value = parse_gdb_value(one, hex.substr(2 * one.offset, 2 * one.size));
    if (!value) return std::unexpected(value.error());
    if (*value) out.set(*one.reg, **value);
  }
  // Outside long mode QEMU writes zeros for registers that are not there (target/i386/gdbstub.c).
  if (const auto efer = out[Reg::efer]; efer && (*efer & kLongMode) == 0)
    for (const Reg reg :
         {Reg::r8, Reg::r9, Reg::r10, Reg::r11, Reg::r12, Reg::r13, Reg::r14, Reg::r15})
      out.forget(reg);
  return out;
}

Expected<std::optional<std::uint64_t>> parse_gdb_value(const GdbRegister& one,
                                                       std::string_view hex) {
  if (hex.find_first_not_of('x') == std::string_view::npos) return std::nullopt;
  const auto value = hex.size() == 2 * one.size ? little_endian(hex) : std::nullopt;
  if (!value) return fail(Errc::protocol, "gdb stub: the value of " + one.name + " is no number");
  return value;
}

const GdbRegister* find_gdb_register(const GdbLayout& layout, Reg reg) {
  const auto found = std::ranges::find(layout.registers, std::optional(reg), &GdbRegister::reg);
  return found == layout.registers.end() ? nullptr : &*found;
}

std::string gdb_value(const GdbRegister& reg, std::uint64_t value) {
  std::string bytes;
  for (std::size_t i = 0; i < reg.size; ++i)
    bytes.push_back(static_cast<char>(i < sizeof(value) ? value >> (8 * i) & 0xFFU : 0));
  return to_hex(bytes);
}

}  // namespace microvmi::qemu
