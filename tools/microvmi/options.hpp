// SPDX-License-Identifier: Apache-2.0
// How a command declares its options and positionals. CLI11 itself stays out of the commands:
// every file that sees it compiles the whole of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace microvmi::tool {

// True where it is given.
void add_flag(CLI::App& app, const std::string& name, bool& into, const std::string& help);

// One value, absent where it is not given; the help calls it `value`.
void add_text(CLI::App& app, const std::string& name, std::optional<std::string>& into,
              const std::string& help, const std::string& value = "");

// One value each time it is given.
void add_texts(CLI::App& app, const std::string& name, std::vector<std::string>& into,
               const std::string& help, const std::string& value);

}  // namespace microvmi::tool
