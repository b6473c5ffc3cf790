// SPDX-License-Identifier: Apache-2.0
// Builds the tree and reads the words.
#include "command_line.hpp"

#include <algorithm>

#include "microvmi/init_args.hpp"
#include "microvmi/param/nearest.hpp"

namespace microvmi::tool {
namespace {

constexpr const char* kIntroduction =
    "Looks into virtual machines from outside: their memory, and whatever else a driver offers.";

constexpr const char* kTargets =
    "TARGET names the guest: a vmi:// URL, a file (with a slash, or one that exists), a process\n"
    "(digits alone) or the name of a VM. Numbers: 4096, 0x1000, 4K, 2M, 1G, 1T.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.";

std::string nearest(const std::string& wanted, const std::vector<std::string>& known) {
  return param::nearest_of({known.begin(), known.end()}, wanted);
}

std::vector<std::string> long_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// Those of the driver that --driver names, else of all.
std::vector<DriverInitParamDesc> rows_for(const std::optional<std::string>& driver) {
  const auto type = param::Value<DriverType>::parse(driver.value_or(""));
  return type ? possible_init_args(*type) : every_init_arg();
}

}  // namespace

std::string with_dashes(std::string option) {
  std::ranges::replace_if(option, [](char c) { return c == '_' || c == '.'; }, '-');
  return option;
}

CommandLine::CommandLine() : app_(kIntroduction, "microvmi") {
  app_.option_defaults()->group("Options of every command");
  app_.get_help_ptr()->group("Options of every command")->description("What you read now");
  app_.set_version_flag("--version", "microvmi " MICROVMI_VERSION, "The version, and nothing else");
  app_.allow_extras();
  add_common(app_);
  add_drivers(app_);
  app_.require_subcommand(1, 1);
  for (const Command* command : kCommands) {
    CLI::App* app = app_.add_subcommand(command->name, command->summary);
    app->fallthrough();
    app->allow_extras();
    app->get_help_ptr()->group("");  // the same as that of every command
    app->option_defaults()->group("Options");
    Run run = command->declare(*app);
    if (command->takes_target) add_text(*app, "TARGET", given_.target, "The guest; see below");
    commands_.push_back({command, app, std::move(run)});
  }
}

void CommandLine::add_common(CLI::App& app) {
  add_text(app, "--driver", given_.driver, "Use this driver alone: xen, kvm, qemu or memflow",
           "NAME");
  add_text(app, "--config", given_.config,
           "Parameters in TOML; else ~/.config/microvmi/config.toml, where there is one", "FILE");
  add_text(app, "--timeout", given_.timeout, "How long opening the guest may take; default 60s",
           "TIME");
  app.add_flag("-v,--verbose", given_.verbosity, "Tell on stderr what is tried; -vv with times");
}

void CommandLine::add_drivers(CLI::App& app) {
  for (const DriverInitParamDesc& row : every_init_arg()) {
    std::vector<std::string> names{row.option};
    for (const std::string& alias : row.aliases) names.push_back("--" + with_dashes(alias));
    for (const std::string& name : names) {
      const auto add = [this, name](const CLI::results_t& values) {
        for (const std::string& value : values) given_.params.insert_option(name, value);
        return true;
      };
      CLI::Option* option = app.add_option(name, add, row.description);
      option->group("")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      if (row.type == "flag") option->expected(0);
    }
  }
  // How the Rust library passes a connector's arguments; no row, but understood beside them.
  const auto add = [this](const CLI::results_t& values) {
    for (const std::string& value : values)
      given_.params.insert_option("--memflow-connector-args", value);
    return true;
  };
  app.add_option("--memflow-connector-args", add, "")
      ->group("")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

const CLI::Option* CommandLine::find_option(const std::string& name) const {
  if (!name.starts_with("--")) return nullptr;
  const CLI::Option* found = app_.get_option_no_throw(name);
  for (const Entry& entry : commands_)
    if (!found) found = entry.app->get_option_no_throw(name);
  return found;
}

// The options of drivers may be spelled with any joint, and "--option=" gives an empty value.
std::vector<std::string> CommandLine::normalised(std::vector<std::string> words) const {
  std::vector<std::string> out;
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (*word == "--") return out.insert(out.end(), word, words.end()), out;
    const std::size_t equals = word->find('=');
    const std::string name = with_dashes(word->substr(0, equals));
    const CLI::Option* option = find_option(name);
    if (option) word->replace(0, std::min(equals, word->size()), name);
    if (option && equals + 1 == word->size() && option->get_items_expected_max() != 0) {
      out.push_back(name);
      out.emplace_back();
    } else {
      out.push_back(*word);
    }
  }
  return out;
}

Outcome CommandLine::parse(std::vector<std::string> words) {
  auto reversed = normalised(std::move(words));
  std::ranges::reverse(reversed);  // as CLI11 wants it
  try {
    app_.parse(reversed);
  } catch (const CLI::CallForVersion& version) {
    return std::unexpected(Failure{kOk, std::string(version.what()) + '\n'});
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(Failure{kOk, help()});
  } catch (const CLI::RequiredError&) {
    name_unknown(app_.remaining());
    if (unknown_.empty()) unknown_.emplace_back("a command is required, such as info");
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string_view text = error.what();
    unknown_.push_back(std::string(text.substr(0, text.find(':'))) +
                       (text.contains("At Most") ? " is given more than once" : " needs a value"));
  } catch (const CLI::ParseError& error) {
    unknown_.emplace_back(error.what());
  }
  if (!unknown_.empty()) {
    std::string all;
    for (const std::string& one : unknown_) all += (all.empty() ? "" : "\n") + one;
    return misused(std::move(all));
  }
  for (std::size_t i = 0; i < commands_.size(); ++i)
    if (commands_[i].app->parsed()) chosen_ = i;
  name_unknown(app_.remaining(true));
  return {};
}

void CommandLine::name_unknown(const std::vector<std::string>& words) {
  std::vector<std::string> known = long_options(app_);
  std::vector<std::string> names;
  for (const Entry& entry : commands_) {
    names.emplace_back(entry.command->name);
    if (entry.app->parsed()) std::ranges::copy(long_options(*entry.app), std::back_inserter(known));
  }
  const bool chosen = !app_.get_subcommands().empty();
  for (const std::string& word : words) {
    if (word == "--") continue;
    const std::string name = word.substr(0, word.find('='));
    const bool option = word.starts_with('-') && word.size() > 1;
    const std::string guess = option   ? nearest(with_dashes(name), known)
                              : chosen ? std::string()
                                       : nearest(word, names);
    unknown_.push_back((option   ? "there is no option " + name
                        : chosen ? "one word too many: '" + word + "'"
                                 : "there is no command '" + word + "'") +
                       (guess.empty() ? "" : "; did you mean " + guess + "?"));
    if (!option && !chosen) return;  // what follows is read once there is a command
  }
}

// "microvmi read [OPTIONS] GPA LENGTH [TARGET]"
std::string CommandLine::usage(const CLI::App& app) const {
  if (&app == &app_) return "Usage: microvmi COMMAND [OPTIONS] ...\n";
  std::string out = "Usage: microvmi " + app.get_name() + " [OPTIONS]";
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = option->get_name(true);
    out += name == "TARGET" || name == "NAME" ? " [" + name + ']' : ' ' + name;
  }
  return out + '\n';
}

// The command's own part, then what every command takes, then the rows of every driver.
std::string CommandLine::help() const {
  const auto chosen = app_.get_subcommands();
  const CLI::App& top = chosen.empty() ? app_ : *chosen.front();
  const CLI::Formatter format;
  std::string out = top.get_description() + "\n\n" + usage(top);
  if (chosen.empty())
    out += format.make_subcommands(&app_, CLI::AppFormatMode::Normal);
  else
    out += format.make_positionals(&top) + format.make_groups(&top, CLI::AppFormatMode::Normal);
  out += format.make_groups(&app_, CLI::AppFormatMode::Normal);
  while (out.ends_with("\n\n")) out.pop_back();
  return out + '\n' + kTargets + "\n\n" + param::help(rows_for(given_.driver));
}

const CLI::App* CommandLine::app(const std::string& command) const {
  if (command.empty()) return &app_;
  const auto entry = std::ranges::find_if(
      commands_, [&](const Entry& one) { return one.command->name == command; });
  return entry == commands_.end() ? nullptr : entry->app;
}

}  // namespace microvmi::tool
