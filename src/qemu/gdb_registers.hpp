// SPDX-License-Identifier: Apache-2.0
// Which registers a gdb stub has, and where each is in the answer to "g".
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::qemu {

struct GdbRegister {
  std::string name;
  std::uint32_t number = 0;
  std::size_t offset = 0;                 // in bytes
  std::size_t size = 0;                   // in bytes
  std::optional<Reg> reg = std::nullopt;  // where registers.hpp has a name for it
};

struct GdbLayout {
  std::string architecture{};  // "i386:x86-64"
  std::vector<GdbRegister> registers{};
  std::size_t size = 0;  // of all of them

  [[nodiscard]] bool is_x86() const { return architecture.starts_with("i386"); }
};

// Gives the text of one document of the target description by its name ("target.xml").
using FetchDocument = std::function<Expected<std::string>(const std::string& name)>;

// From the target description (the GDB manual's appendix "Target Descriptions"), the documents that
// it includes among them.
[[nodiscard]] Expected<GdbLayout> read_gdb_layout(const FetchDocument& fetch);

// What "g" answered, as far as microvmi/registers.hpp has a name for it. A register of which the
// stub says that it does not know it ("xx") stays unknown.
[[nodiscard]] Expected<Registers> parse_gdb_registers(const GdbLayout& layout,
                                                      std::string_view hex);

// What "p" answered for this register; nothing where the stub does not know it.
[[nodiscard]] Expected<std::optional<std::uint64_t>> parse_gdb_value(const GdbRegister& one,
                                                                     std::string_view hex);

// The stub's register of this name; null where it has none.
[[nodiscard]] const GdbRegister* find_gdb_register(const GdbLayout& layout, Reg reg);

// The value as "P" takes it: little endian, in hex.
[[nodiscard]] std::string gdb_value(const GdbRegister& reg, std::uint64_t value);

}  // namespace microvmi::qemu
