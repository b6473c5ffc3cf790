// SPDX-License-Identifier: Apache-2.0
// Command: one subcommand, declared in a file of its own.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <functional>

#include "session.hpp"

namespace microvmi::tool {

using Run = std::function<Outcome(Session& session)>;

struct Command {
  const char* name;
  const char* summary;
  bool takes_target;
  // Adds its own options and positionals; what it returns runs the command.
  Run (*declare)(CLI::App& app);
};

extern const Command kDrivers;
extern const Command kScan;
extern const Command kInfo;
extern const Command kRead;
extern const Command kWrite;
extern const Command kDump;
extern const Command kParams;
extern const Command kCompletion;

inline constexpr std::array<const Command*, 8> kCommands{&kDrivers, &kScan, &kInfo,   &kRead,
                                                         &kWrite,   &kDump, &kParams, &kCompletion};

// Options of one value that stays absent where it is not given.
inline CLI::Option* add_text(CLI::App& app, const std::string& name,
                             std::optional<std::string>& into, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name, [&into](const std::string& text) { into = text; }, help)
      ->type_name("");
}

}  // namespace microvmi::tool
