// SPDX-License-Identifier: Apache-2.0
// Failure: why a command ends early, with the exit code that scripts rely on.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "microvmi/error.hpp"

namespace microvmi::tool {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

struct Failure {
  int code = kFailed;
  std::string text{};  // for stderr; nothing is printed where it is empty
};

template <class T>
using Result = std::expected<T, Failure>;
using Outcome = Result<void>;

[[nodiscard]] inline std::unexpected<Failure> failed(std::string text) {
  return std::unexpected(Failure{kFailed, std::move(text)});
}
[[nodiscard]] inline std::unexpected<Failure> failed(const Error& error) {
  return failed(to_text(error));
}
[[nodiscard]] inline std::unexpected<Failure> misused(std::string text) {
  return std::unexpected(Failure{kUsage, std::move(text)});
}

}  // namespace microvmi::tool
