// SPDX-License-Identifier: Apache-2.0
// memflow.connector-args: the arguments of a connector as the Rust library and memflow write them.
#pragma once

#include <string_view>
#include <vector>

#include "microvmi/init_params.hpp"

namespace microvmi {

// What joining several sources leaves to be parsed.
struct Expanded {
  std::vector<param::Setting> settings;
  std::vector<param::Problem> problems;
  std::vector<param::Overruled> overruled;
};

[[nodiscard]] bool is_connector_args(std::string_view key);

// Replaces each memflow.connector-args by the keys of the connector that is named, or else of the
// only one whose rows know all these arguments; and drops the arguments of other connectors where
// a stronger source has named one, and other guests where one is named by a common key.
[[nodiscard]] Expanded expand(std::vector<param::Setting> settings);

}  // namespace microvmi
