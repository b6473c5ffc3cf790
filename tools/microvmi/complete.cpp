// SPDX-License-Identifier: Apache-2.0
// Candidates from the command tree, the parameters' rows and the guests of this host.
#include "complete.hpp"

#include <algorithm>
#include <ranges>

#include "command_line.hpp"
#include "microvmi/init_args.hpp"

namespace microvmi::tool {
namespace {

class Candidates {
 public:
  explicit Candidates(std::string typed) : typed_(std::move(typed)) {}

  // Text that would break the lines is left out; it can still be typed.
  void add(const std::string& text, std::string meaning = {}) {
    const bool clean = std::ranges::none_of(text, [](char c) { return c >= 0 && c < ' '; });
    if (!clean || text.empty() || !text.starts_with(typed_)) return;
    std::ranges::replace_if(meaning, [](char c) { return c >= 0 && c < ' '; }, ' ');
    lines_.push_back(text + '\t' + meaning + '\n');
  }
  void add_files() { files_ = true; }

  [[nodiscard]] Outcome print(Output& out, const std::string& before) const {
    for (const std::string& line : lines_)
      if (auto done = out.write(before + line); !done) return done;
    return files_ ? out.write(":files\n") : Outcome{};
  }

 private:
  std::string typed_;
  std::vector<std::string> lines_;
  bool files_ = false;
};

const CLI::Option* option_of(const CommandLine& line, const std::string& command,
                             const std::string& word) {
  const std::string name = word.starts_with("--") ? with_dashes(word) : word;
  for (const CLI::App* app : {line.app(command), line.app("")})
    if (app && name.starts_with('-'))
      if (const CLI::Option* found = app->get_option_no_throw(name); found) return found;
  return nullptr;
}

bool takes_value(const CLI::Option* option) {
  return option && option->get_items_expected_max() != 0;
}

struct Position {
  std::string command;
  std::size_t positional = 0;           // how many stand before the cursor
  const CLI::Option* option = nullptr;  // whose value is typed
};

Position position_of(const CommandLine& line, std::span<const std::string> before) {
  Position at;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::string& word = before[i];
    if (word.starts_with('-') && word.size() > 1) {
      if (word.contains('=') || !takes_value(option_of(line, at.command, word))) continue;
      if (++i == before.size()) at.option = option_of(line, at.command, word);
    } else if (at.command.empty()) {
      at.command = line.app(word) ? word : "";
    } else {
      ++at.positional;
    }
  }
  return at;
}

void add_guests(Candidates& out, bool names, bool pids) {
  for (const Found& one : scan({.ask_monitors = false})) {
    const std::string pid = one.pid ? std::to_string(*one.pid) : "";
    if (names && one.vm_name) out.add(*one.vm_name, pid.empty() ? "VM" : "VM, process " + pid);
    if (pids) out.add(pid, one.vm_name.value_or("unnamed VM"));
  }
}

// What the backends know of the values of one parameter on this host.
void add_known(Candidates& out, const std::string& key) {
  const auto ask = [&](const auto& backends) {
    for (const auto& backend : backends)
      if (backend.candidates)
        for (const Suggestion& one : backend.candidates(key)) out.add(one.value, one.note);
  };
  ask(drivers());
  ask(connectors());
}

void add_row_values(Candidates& out, const DriverInitParamDesc& row) {
  for (const std::string& choice : row.choices) out.add(choice);
  if (row.type == "flag") {
    out.add("yes");
    out.add("no");
  }
  if (row.type == "path") out.add_files();
  add_known(out, row.name);
  if (row.name == "vm-name") add_guests(out, true, false);
  if (row.name == "pid") add_guests(out, false, true);
}

void add_drivers(Candidates& out) {
  for (const DriverInfo& driver : drivers()) out.add(name_of(driver.type), driver.summary);
}

// The values of an option that is no driver's, from what its help calls them.
void add_own_values(Candidates& out, const CLI::Option& option) {
  const std::string text = option.get_option_text();
  if (text == "FILE") out.add_files();
  if (option.check_lname("driver")) add_drivers(out);
  if (!text.contains('|') || text.contains('[')) return;  // a form such as GVA[:r|w] is no choice
  for (const auto part : std::views::split(text, '|'))
    out.add(std::string(part.begin(), part.end()));
}

void add_values(Candidates& out, const CLI::Option& option) {
  for (const DriverInitParamDesc& row : every_init_arg())
    if (option.check_lname(row.option.substr(2)) ||
        std::ranges::any_of(row.aliases, [&](const std::string& alias) {
          return option.check_lname(with_dashes(alias));
        }))
      return add_row_values(out, row);
  add_own_values(out, option);
}

void add_options(Candidates& out, const CommandLine& line, const std::string& command) {
  for (const CLI::App* app : {line.app(command), command.empty() ? nullptr : line.app("")})
    for (const CLI::Option* option : app ? app->get_options() : std::vector<const CLI::Option*>{})
      for (const std::string& name : option->get_lnames())
        out.add("--" + name + (takes_value(option) ? "=" : ""), option->get_description());
}

void add_positionals(Candidates& out, const CommandLine& line, const Position& at) {
  if (at.command.empty()) {
    for (const Command* command : kCommands) out.add(command->name, command->summary);
    return;
  }
  std::size_t left = at.positional;
  for (const CLI::Option* option : line.app(at.command)->get_options()) {
    if (!option->get_positional() || left-- != 0) continue;
    const std::string name = option->get_name(true);
    if (name == "TARGET") {
      add_guests(out, true, true);
      out.add_files();
    }
    if (name == "NAME") add_drivers(out);
    if (name == "SHELL")
      for (const char* shell : {"bash", "zsh", "fish"}) out.add(shell);
    return;
  }
}

}  // namespace

Outcome complete(const std::vector<std::string>& words, Output& out) {
  const CommandLine line;
  const std::string typed = words.size() > 1 ? words.back() : "";
  const auto before = std::span(words).subspan(1, words.size() > 1 ? words.size() - 2 : 0);
  const Position at = position_of(line, before);
  const std::size_t equals = typed.starts_with("--") ? typed.find('=') : std::string::npos;
  const bool has_value = equals != std::string::npos;
  Candidates candidates(has_value ? typed.substr(equals + 1) : typed);
  if (at.option) {
    add_values(candidates, *at.option);
  } else if (has_value) {
    const CLI::Option* option = option_of(line, at.command, typed.substr(0, equals));
    if (option) add_values(candidates, *option);
  } else if (typed.starts_with('-')) {
    add_options(candidates, line, at.command);
  } else {
    add_positionals(candidates, line, at);
  }
  return candidates.print(out, has_value && !at.option ? typed.substr(0, equals + 1) : "");
}

}  // namespace microvmi::tool
