// SPDX-License-Identifier: Apache-2.0
// Description: a parameter as data for whoever shows it: JSON, --help, a page, C and Python.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "microvmi/param/table.hpp"

namespace microvmi::param {

struct Description {
  std::string name;  // its key: "kvm.unix-socket"
  std::string description;
  bool required = false;  // where its one-of is chosen, if it has one
  std::string one_of{};   // name of the choice whose alternative this belongs to
  std::string type{};     // flag, integer, size, duration, text, path or choice
  std::vector<std::string> choices{};
  std::vector<std::string> default_value{};
  std::string option{};    // "--kvm-unix-socket"
  std::string group{};     // the heading it stands under in help
  std::string presence{};  // required, optional or defaulted
  std::vector<std::string> aliases{};
  bool repeated = false;  // each further value is added to the list
};

[[nodiscard]] Description describe(const Table& table, const Info& info);
[[nodiscard]] std::vector<Description> describe(const Table& table);

// An array of {key, option, group, type, presence, default, choices, help, aliases, repeated};
// `default` is a text as the parameter takes it, or null.
[[nodiscard]] std::string json(std::span<const Description> rows);

// For --help: a line for each row under the headings of their groups.
[[nodiscard]] std::string help(std::span<const Description> rows);

// A table for each group.
[[nodiscard]] std::string markdown(std::span<const Description> rows);

}  // namespace microvmi::param
