// SPDX-License-Identifier: Apache-2.0
// Target: what the last word of a command names.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "microvmi/init_params.hpp"

namespace microvmi::tool {

struct Target {
  enum class Kind : std::uint8_t { none, url, file, pid, name };

  Kind kind = Kind::none;
  std::optional<DriverType> driver{};
  DriverParams params{};
};

// By this rule, in this order; where two of the last three fit, it is an error that says how to be
// explicit:
//   vmi://...              a URL
//   with a slash           a file
//   an existing file       a file
//   digits alone           a process
//   anything else          the name of a VM
// `options` are those of the command line; one that names another guest contradicts.
[[nodiscard]] std::expected<Target, std::string> resolve_target(const std::string& text,
                                                                const DriverParams& options);

}  // namespace microvmi::tool
