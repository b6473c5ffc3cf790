// SPDX-License-Identifier: Apache-2.0
// memflow's own way to write a connector's arguments: "target:key=value,key=value".
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace microvmi {

struct MemflowArg {
  std::string name;  // empty for the value that stands alone at the front
  std::string value;
};

// A value that holds ':' after a target, or ',', stands in quotes: " ' or `. The reason where it
// is not such a text; nothing is dropped.
[[nodiscard]] std::expected<std::vector<MemflowArg>, std::string> read_memflow_args(
    std::string_view text);

}  // namespace microvmi
