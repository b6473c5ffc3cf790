// SPDX-License-Identifier: Apache-2.0
// Parameters from the environment, and options of a command line.
#include <unistd.h>

#include <algorithm>

#include "init/letters.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi {
namespace {

constexpr std::string_view kPrefix = "MICROVMI_PARAM_";

}  // namespace

DriverParams DriverParams::from_environment() {
  DriverParams out;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with(kPrefix)) continue;
    const std::string name(text.substr(0, text.find('=')));
    std::string key = name.substr(kPrefix.size());
    std::ranges::transform(key, key.begin(), lower);
    const std::string_view value = text.substr(std::min(name.size() + 1, text.size()));
    out.insert(std::move(key), std::string(value), {param::Source::environment, name});
  }
  return out;
}

DriverParams& DriverParams::insert_option(std::string_view option, std::string value) & {
  const std::size_t dashes = std::min(option.find_first_not_of('-'), option.size());
  return insert(std::string(option.substr(dashes)), std::move(value),
                {param::Source::command_line, "--" + std::string(option.substr(dashes))});
}

}  // namespace microvmi
