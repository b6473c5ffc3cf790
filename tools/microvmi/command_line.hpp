// SPDX-License-Identifier: Apache-2.0
// CommandLine: all commands and options as one CLI11 tree, the drivers' from their rows.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "command.hpp"

namespace microvmi::tool {

class CommandLine {
 public:
  CommandLine();

  // Understands the words after the program's name. A failure with exit code 0 is help or the
  // version, for stdout.
  [[nodiscard]] Outcome parse(std::vector<std::string> words);

  [[nodiscard]] const Command& command() const { return *commands_.at(chosen_).command; }
  [[nodiscard]] const Run& run() const { return commands_.at(chosen_).run; }
  [[nodiscard]] const Given& given() const { return given_; }

  // Words that nothing was found for, as sentences.
  [[nodiscard]] const std::vector<std::string>& unknown() const { return unknown_; }

  // For completion: the tree itself; the root where the name is empty, null where there is none.
  [[nodiscard]] const CLI::App* app(const std::string& command) const;

 private:
  struct Entry {
    const Command* command;
    CLI::App* app;
    Run run;
  };

  void add_common(CLI::App& app);
  void add_drivers(CLI::App& app);
  [[nodiscard]] std::vector<std::string> normalised(std::vector<std::string> words) const;
  [[nodiscard]] std::string usage(const CLI::App& app) const;
  [[nodiscard]] std::string help() const;
  [[nodiscard]] const CLI::Option* find_option(const std::string& name) const;
  void name_unknown(const std::vector<std::string>& words);

  CLI::App app_;
  std::vector<Entry> commands_;
  Given given_;
  std::size_t chosen_ = 0;
  std::vector<std::string> unknown_;
};

// "--kvm-timeout" for --kvm_timeout and --kvm.timeout.
[[nodiscard]] std::string with_dashes(std::string option);

}  // namespace microvmi::tool
