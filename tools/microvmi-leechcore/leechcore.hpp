// SPDX-License-Identifier: Apache-2.0
// Library: leechcore.so, loaded.
#pragma once

#include <expected>
#include <string>

#include "abi.hpp"
#include "connector/pcileech/protocol.hpp"

namespace microvmi::leechcore {

struct Failure {
  pcileech_connector::Result result{};
  std::string text{};
};

// It stays loaded until the process ends.
[[nodiscard]] std::expected<Functions, Failure> load(const char* path);

}  // namespace microvmi::leechcore
