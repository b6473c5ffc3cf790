// SPDX-License-Identifier: Apache-2.0
// Reads the lines that x86_cpu_dump_state() in QEMU's target/i386/cpu-dump.c writes.
#include "qemu/info_registers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace microvmi::qemu {
namespace {

struct NamedReg {
  std::string_view text;
  Reg reg;
};

// By name, for a binary search. The E names are of a vCPU that is not in 64-bit mode.
constexpr std::array kNames{
    NamedReg{"CR0", Reg::cr0}, NamedReg{"CR2", Reg::cr2},   NamedReg{"CR3", Reg::cr3},
    NamedReg{"CR4", Reg::cr4}, NamedReg{"DR0", Reg::dr0},   NamedReg{"DR1", Reg::dr1},
    NamedReg{"DR2", Reg::dr2}, NamedReg{"DR3", Reg::dr3},   NamedReg{"DR6", Reg::dr6},
    NamedReg{"DR7", Reg::dr7}, NamedReg{"EAX", Reg::rax},   NamedReg{"EBP", Reg::rbp},
    NamedReg{"EBX", Reg::rbx}, NamedReg{"ECX", Reg::rcx},   NamedReg{"EDI", Reg::rdi},
    NamedReg{"EDX", Reg::rdx}, NamedReg{"EFER", Reg::efer}, NamedReg{"EFL", Reg::rflags},
    NamedReg{"EIP", Reg::rip}, NamedReg{"ESI", Reg::rsi},   NamedReg{"ESP", Reg::rsp},
    NamedReg{"R10", Reg::r10}, NamedReg{"R11", Reg::r11},   NamedReg{"R12", Reg::r12},
    NamedReg{"R13", Reg::r13}, NamedReg{"R14", Reg::r14},   NamedReg{"R15", Reg::r15},
    NamedReg{"R8", Reg::r8},   NamedReg{"R9", Reg::r9},     NamedReg{"RAX", Reg::rax},
    NamedReg{"RBP", Reg::rbp}, NamedReg{"RBX", Reg::rbx},   NamedReg{"RCX", Reg::rcx},
    NamedReg{"RDI", Reg::rdi}, NamedReg{"RDX", Reg::rdx},   NamedReg{"RFL", Reg::rflags},
    NamedReg{"RIP", Reg::rip}, NamedReg{"RSI", Reg::rsi},   NamedReg{"RSP", Reg::rsp}};
static_assert(std::ranges::is_sorted(kNames, {}, &NamedReg::text));

struct Segment {
  std::string_view text;
  Reg selector, base, limit, attributes;
};

constexpr std::array kSegments{
    Segment{"ES", Reg::es, Reg::es_base, Reg::es_limit, Reg::es_attributes},
    Segment{"CS", Reg::cs, Reg::cs_base, Reg::cs_limit, Reg::cs_attributes},
    Segment{"SS", Reg::ss, Reg::ss_base, Reg::ss_limit, Reg::ss_attributes},
    Segment{"DS", Reg::ds, Reg::ds_base, Reg::ds_limit, Reg::ds_attributes},
    Segment{"FS", Reg::fs, Reg::fs_base, Reg::fs_limit, Reg::fs_attributes},
    Segment{"GS", Reg::gs, Reg::gs_base, Reg::gs_limit, Reg::gs_attributes},
    Segment{"LDT", Reg::ldt, Reg::ldt_base, Reg::ldt_limit, Reg::ldt_attributes},
    Segment{"TR", Reg::tr, Reg::tr_base, Reg::tr_limit, Reg::tr_attributes}};

struct Table {
  std::string_view text;
  Reg base, limit;
};

constexpr std::array kTables{Table{"GDT", Reg::gdt_base, Reg::gdt_limit},
                             Table{"IDT", Reg::idt_base, Reg::idt_limit}};

constexpr std::uint64_t kLongModeActive = 1ULL << 10U;  // EFER.LMA, Intel SDM vol. 3A 2.2.1

bool is_space(char c) { return c == ' ' || c == '\r'; }

std::string_view without_spaces(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// The next hexadecimal number, which ends at a space or the end.
std::optional<std::uint64_t> take_value(std::string_view& rest) {
  while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
  std::uint64_t value = 0;
  const char* const last = rest.data() + rest.size();
  const auto [end, ec] = std::from_chars(rest.data(), last, value, 16);
  if (ec != std::errc{} || (end != last && !is_space(*end))) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return value;
}

// Half of the text is of floating point.
bool is_of_no_use(std::string_view line) {
  return line.starts_with("FPR") || line.starts_with("XMM") || line.starts_with("YMM") ||
         line.starts_with("ZMM");
}

// QEMU keeps the second word of the descriptor, limit bits and all (cpu-dump.c, "flags").
std::uint64_t attributes_of(std::uint64_t flags) { return flags >> 8U & 0xF0FFU; }

class RegisterReader {
 public:
  Expected<void> take_line(std::string_view line) {
    constexpr std::string_view kTitle = "CPU#";
    if (line.starts_with(kTitle)) return begin(line.substr(kTitle.size()));
    const std::size_t sign = line.find('=');
    if (states_.empty() || sign == std::string_view::npos || is_of_no_use(line)) return {};
    const std::string_view name = without_spaces(line.substr(0, sign));
    if (const auto* one = find(kSegments, name)) return take_segment(*one, line, sign);
    if (const auto* one = find(kTables, name)) return take_table(*one, line, sign);
    return take_values(line);
  }

  Expected<std::vector<CpuState>> finish() && {
    if (states_.empty()) return fail(Errc::protocol, "info registers: tells of no vCPU");
    for (CpuState& one : states_) {
      if (!one.registers[Reg::rip])
        return fail(Errc::protocol, fmt::format("info registers: no rip of vCPU {}", one.index));
      forget_halves(one);
    }
    return std::move(states_);
  }

 private:
  template <class Rows>
  static auto find(const Rows& rows, std::string_view name) -> decltype(rows.data()) {
    const auto found = std::ranges::find(rows, name, [](const auto& row) { return row.text; });
    return found == rows.end() ? nullptr : &*found;
  }

  static std::unexpected<Error> nonsense(std::string_view line) {
    return fail(Errc::protocol,
                fmt::format("info registers: {:?} makes no sense", line.substr(0, 80)));
  }

  Expected<void> begin(std::string_view number) {
    const std::string_view digits = without_spaces(number);
    std::uint32_t index = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (ec != std::errc{} || end != digits.data() + digits.size()) return nonsense(number);
    if (std::ranges::find(states_, index, &CpuState::index) != states_.end())
      return fail(Errc::protocol, fmt::format("info registers: tells of vCPU {} twice", index));
    if (states_.size() == kMaxVcpus)
      return fail(Errc::protocol, fmt::format("info registers: more than {} vCPUs", kMaxVcpus));
    states_.push_back({.index = index});
    wide_.push_back(false);
    return {};
  }

  Registers& registers() { return states_.back().registers; }

  Expected<void> take_segment(const Segment& segment, std::string_view line, std::size_t sign) {
    std::string_view rest = line.substr(sign + 1);
    const auto selector = take_value(rest);
    const auto base = take_value(rest);
    const auto limit = take_value(rest);
    const auto flags = take_value(rest);
    if (!selector || !base || !limit || !flags) return nonsense(line);
    registers().set(segment.selector, *selector);
    registers().set(segment.base, *base);
    registers().set(segment.limit, *limit);
    registers().set(segment.attributes, attributes_of(*flags));
    return {};
  }

  Expected<void> take_table(const Table& table, std::string_view line, std::size_t sign) {
    std::string_view rest = line.substr(sign + 1);
    const auto base = take_value(rest);
    const auto limit = take_value(rest);
    if (!base || !limit) return nonsense(line);
    registers().set(table.base, *base);
    registers().set(table.limit, *limit);
    return {};
  }

  // "R8 =0000000000000000 R9 =0000000000000000"; names that are not known are passed over.
  Expected<void> take_values(std::string_view line) {
    std::string_view rest = line;
    for (std::size_t sign = 0; (sign = rest.find('=')) != std::string_view::npos;) {
      std::string_view name = without_spaces(rest.substr(0, sign));
      name.remove_prefix(std::min(name.size(), name.rfind(' ') + 1));
      rest.remove_prefix(sign + 1);
      const auto* const known = std::ranges::lower_bound(kNames, name, {}, &NamedReg::text);
      if (known == kNames.end() || known->text != name) continue;
      const auto value = take_value(rest);
      if (!value) return nonsense(line);
      registers().set(known->reg, *value);
      if (name == "RIP") wide_.back() = true;
    }
    return {};
  }

  // Of a vCPU in compatibility mode the dump has the lower halves alone.
  void forget_halves(CpuState& one) const {
    const auto place = static_cast<std::size_t>(&one - states_.data());
    const bool long_mode = (one.registers[Reg::efer].value_or(0) & kLongModeActive) != 0;
    if (wide_[place] || !long_mode) return;
    one.registers.forget(Reg::fs_base);
    one.registers.forget(Reg::gs_base);
  }

  static constexpr std::size_t kMaxVcpus = 4096;

  std::vector<CpuState> states_;
  std::vector<bool> wide_;  // of each: told with 64 bits
};

}  // namespace

Expected<std::vector<CpuState>> parse_info_registers(std::string_view text) {
  RegisterReader reader;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (auto done = reader.take_line(without_spaces(text.substr(0, end))); !done)
      return std::unexpected(std::move(done.error()));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::move(reader).finish();
}

}  // namespace microvmi::qemu
