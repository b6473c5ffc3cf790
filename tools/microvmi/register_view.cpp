// SPDX-License-Identifier: Apache-2.0
// Groups the flat list of registers by segment and table.
#include "register_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::array kSegments{"es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr"};
constexpr std::array kTables{"gdt", "idt"};

// "cs_base" is {"cs", "base"}, "cs" is {"cs", "selector"}, "rax" is {"", "rax"}.
struct Place {
  std::string_view group;
  std::string_view name;
};

Place place_of(std::string_view name) {
  for (const std::string_view segment : kSegments)
    if (name == segment) return {segment, "selector"};
  const std::size_t joint = std::min(name.find('_'), name.size());
  const std::string_view head = name.substr(0, joint);
  const bool grouped = std::ranges::find(kSegments, head) != kSegments.end() ||
                       std::ranges::find(kTables, head) != kTables.end();
  return grouped && joint != name.size() ? Place{head, name.substr(joint + 1)} : Place{"", name};
}

std::string dotted(std::string_view name) {
  const Place place = place_of(name);
  return place.group.empty() ? std::string(name) : fmt::format("{}.{}", place.group, place.name);
}

// "cs  selector 0x8  base 0x0  limit 0xffffffff  attributes 0xa09b"
std::string group_text(const Json& group) {
  std::string out;
  for (const auto& [name, value] : group.items())
    out += fmt::format("  {} {}", name, hex(value.get<std::uint64_t>()));
  return out + '\n';
}

}  // namespace

Json registers_json(const Registers& registers) {
  Json out = Json::object();
  for (const RegisterInfo& info : kRegisters) {
    const auto value = registers[info.reg];
    if (!value) continue;
    const Place place = place_of(info.name);
    if (place.group.empty())
      out[info.name] = *value;
    else
      out[std::string(place.group)][std::string(place.name)] = *value;
  }
  return out;
}

Json unknown_json(const Registers& registers) {
  Json out = Json::array();
  for (const RegisterInfo& info : kRegisters)
    if (!registers[info.reg]) out.push_back(dotted(info.name));
  return out;
}

std::string registers_text(const Registers& registers) {
  constexpr int kColumns = 3;
  std::string out;
  int column = 0;
  const auto end_line = [&] {
    if (column != 0) out += '\n';
    column = 0;
  };
  const Json all = registers_json(registers);
  for (const auto& [name, value] : all.items()) {
    if (value.is_object()) {
      end_line();
      out += fmt::format("  {}{:<6}{}{}", style().bold, name, style().plain, group_text(value));
      continue;
    }
    out += fmt::format("  {}{:<14}{} {:#018x}", style().bold, name, style().plain,
                       value.get<std::uint64_t>());
    if (++column == kColumns) end_line();
  }
  end_line();
  std::string unknown;
  for (const Json& name : unknown_json(registers))
    unknown += (unknown.empty() ? "" : " ") + name.get<std::string>();
  if (!unknown.empty())
    out += fmt::format("  {}unknown{} {}\n", style().dim, style().plain, unknown);
  return out;
}

const RegisterInfo* register_named(std::string_view name) {
  for (const RegisterInfo& info : kRegisters)
    if (name == info.name || name == dotted(info.name)) return &info;
  return nullptr;
}

}  // namespace microvmi::tool
