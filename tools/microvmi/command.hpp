// SPDX-License-Identifier: Apache-2.0
// Command: one subcommand, declared in a file of its own.
#pragma once

#include <array>
#include <functional>

#include "options.hpp"
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

}  // namespace microvmi::tool
