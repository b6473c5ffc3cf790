// SPDX-License-Identifier: Apache-2.0
// Lines of target/i386/cpu-dump.c: "RAX=..", "ES =sel base limit flags", "GDT= base limit".
#include "support/qemu_registers.hpp"

#include <regex>
#include <sstream>

namespace microvmi::test {
namespace {

std::uint64_t number(const std::string& text) { return std::stoull(text, nullptr, 16); }

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// EIP and EFL of a vCPU that is not in 64-bit mode are the same registers.
std::string name_of(std::string name) {
  name = lower(std::move(name));
  if (name == "rfl" || name == "efl") return "rflags";
  if (name.size() == 3 && name[0] == 'e') name[0] = 'r';
  return name;
}

void read_line(RegisterTruth& into, const std::string& line) {
  static const std::regex segment(
      "^(ES|CS|SS|DS|FS|GS|LDT|TR) *=([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)");
  static const std::regex table("^(GDT|IDT)= *([0-9a-f]+) ([0-9a-f]+)");
  static const std::regex plain("([RE][A-Z]{2}|R[0-9]+|CR[0-9]|DR[0-7]|EFER) *=([0-9a-f]+)");
  std::smatch found;
  if (std::regex_search(line, found, segment)) {
    const std::string name = lower(found[1]);
    into[name] = number(found[2]);
    into[name + "_base"] = number(found[3]);
    into[name + "_limit"] = number(found[4]);
    into[name + "_attributes"] = (number(found[5]) >> 8) & 0xF0FF;  // without the limit's four bits
  } else if (std::regex_search(line, found, table)) {
    into[lower(found[1]) + "_base"] = number(found[2]);
    into[lower(found[1]) + "_limit"] = number(found[3]);
  } else {
    for (std::sregex_iterator at(line.begin(), line.end(), plain), end; at != end; ++at)
      into[name_of((*at)[1])] = number((*at)[2]);
  }
}

}  // namespace

Outcome<std::vector<RegisterTruth>> registers_of(QmpTruth& truth) {
  const auto text = truth.human("info registers -a");
  if (!text) return std::unexpected(text.error());
  std::vector<RegisterTruth> out;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("CPU#"))
      out.emplace_back();
    else if (!out.empty())
      read_line(out.back(), line);
  }
  if (out.empty() || !out[0].contains("rip")) return std::unexpected("no registers in: " + *text);
  return out;
}

std::string differences(const Registers& ours, const RegisterTruth& truth,
                        const std::vector<std::string>& names) {
  std::ostringstream out;
  out << std::hex;
  for (const std::string& name : names) {
    std::optional<std::uint64_t> value;
    for (const RegisterInfo& info : kRegisters)
      if (info.name == name) value = ours[info.reg];
    const auto right = truth.find(name);
    if (right == truth.end())
      out << name << ": the monitor does not tell it\n";
    else if (!value)
      out << name << ": unknown, is " << right->second << "\n";
    else if (*value != right->second)
      out << name << ": " << *value << ", is " << right->second << "\n";
  }
  return out.str();
}

std::vector<std::string> general_registers(bool is_64_bit) {
  std::vector<std::string> out{"rax", "rbx", "rcx", "rdx", "rsi",
                               "rdi", "rbp", "rsp", "rip", "rflags"};
  for (int i = 8; is_64_bit && i < 16; ++i) out.push_back("r" + std::to_string(i));
  return out;
}

std::vector<std::string> segment_registers() {
  std::vector<std::string> out;
  for (const char* name : {"es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr"})
    for (const char* part : {"", "_base", "_limit", "_attributes"})
      out.push_back(std::string(name) + part);
  return out;
}

}  // namespace microvmi::test
