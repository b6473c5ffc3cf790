// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>

namespace microvmi::tool {

void add_flag(CLI::App& app, const std::string& name, bool& into, const std::string& help) {
  app.add_flag(name, into, help);
}

void add_text(CLI::App& app, const std::string& name, std::optional<std::string>& into,
              const std::string& help, const std::string& value) {
  const auto take = [&into](const std::string& text) { into = text; };
  CLI::Option* option = app.add_option_function<std::string>(name, take, help);
  option->type_name("");
  if (!value.empty()) option->option_text(value);
}

void add_texts(CLI::App& app, const std::string& name, std::vector<std::string>& into,
               const std::string& help, const std::string& value) {
  const auto take = [&into](const CLI::results_t& values) {
    into = values;
    return true;
  };
  app.add_option(name, take, help)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->option_text(value);
}

}  // namespace microvmi::tool
