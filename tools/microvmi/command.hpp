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
extern const Command kTranslate;
extern const Command kDump;
extern const Command kConvert;
extern const Command kRegs;
extern const Command kPause;
extern const Command kResume;
extern const Command kEvents;
extern const Command kParams;
extern const Command kCompletion;

inline constexpr std::array<const Command*, 14> kCommands{
    &kDrivers, &kScan, &kInfo,  &kRead,   &kWrite,  &kTranslate, &kDump,
    &kConvert, &kRegs, &kPause, &kResume, &kEvents, &kParams,    &kCompletion};

// Options of one value that stays absent where it is not given.
inline CLI::Option* add_text(CLI::App& app, const std::string& name,
                             std::optional<std::string>& into, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name, [&into](const std::string& text) { into = text; }, help)
      ->type_name("");
}

// Options of one value that may be repeated.
inline CLI::Option* add_texts(CLI::App& app, const std::string& name,
                              std::vector<std::string>& into, const std::string& help) {
  const auto take = [&into](const CLI::results_t& values) {
    into = values;
    return true;
  };
  return app.add_option(name, take, help)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace microvmi::tool
