// SPDX-License-Identifier: Apache-2.0
// Takes from an event of any kind what all have.
#include "event_view.hpp"

#include <fmt/format.h>

#include "register_view.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

// Bits of EFER and of a code segment's attributes: long mode, and 64-bit code in it.
constexpr std::uint64_t kEferLma = 1ULL << 10;
constexpr std::uint64_t kCodeLong = 1ULL << 13;

// Segments have no base in 64-bit code (Intel SDM vol. 3A 3.2.4).
std::optional<Gva> instruction_of(const Registers& registers) {
  const auto rip = registers[Reg::rip];
  if (!rip) return std::nullopt;
  const bool long_mode = (registers[Reg::efer].value_or(kEferLma) & kEferLma) != 0;
  const bool long_code = (registers[Reg::cs_attributes].value_or(kCodeLong) & kCodeLong) != 0;
  if (long_mode && long_code) return Gva{*rip};
  const std::uint64_t linear = registers[Reg::cs_base].value_or(0) + *rip;
  return Gva{linear & 0xffffffff};
}

template <class E>
std::optional<Gva> gva_of(const E& what) {
  if constexpr (requires { what.gva; }) return what.gva;
  return std::nullopt;
}

template <class E>
std::optional<Gpa> gpa_of(const E& what) {
  if constexpr (requires { what.gpa; }) return what.gpa;
  return std::nullopt;
}

template <class T>
Json number_or_null(const std::optional<T>& value) {
  return value ? Json(to_integer(*value)) : Json(nullptr);
}

}  // namespace

EventLine line_of(const Vm& vm, const Event& event) {
  EventLine out{.kind = microvmi::name_of(event),
                .vcpu = vcpu_of(event),
                .gva = std::visit([](const auto& one) { return gva_of(*one); }, event),
                .gpa = std::visit([](const auto& one) { return gpa_of(*one); }, event),
                .registers = registers_of(event)};
  if (!out.gva && !out.gpa) out.gva = instruction_of(out.registers);
  if (!out.gva || out.gpa) return out;
  const auto space = AddressSpace::of(out.registers);
  if (!space) return out;
  if (const auto found = vm.translate(*space, *out.gva)) out.gpa = found->gpa;
  return out;
}

std::string json_line(const EventLine& line) {
  const Json json{{"vcpu", to_integer(line.vcpu)},
                  {"kind", line.kind},
                  {"gva", number_or_null(line.gva)},
                  {"gpa", number_or_null(line.gpa)},
                  {"registers", registers_json(line.registers)}};
  return json.dump() + '\n';
}

std::string text_line(const EventLine& line) {
  const auto place = [](const auto& address) {
    return address ? hex(to_integer(*address)) : std::string("unknown");
  };
  const auto rip = line.registers[Reg::rip];
  return fmt::format("{}{:<12}{} vcpu {}  gva {}  gpa {}  rip {}\n", style().bold, line.kind,
                     style().plain, to_integer(line.vcpu), place(line.gva), place(line.gpa),
                     rip ? hex(*rip) : "unknown");
}

}  // namespace microvmi::tool
