// SPDX-License-Identifier: Apache-2.0
// JSON of the results: keys in the order they are written, numbers as integers, null for unknown.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "microvmi/registry.hpp"

namespace microvmi::tool {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

// A guest's name may be any bytes; what is no UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string to_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + '\n';
}

[[nodiscard]] inline const char* name_of(Connector connector) {
  return kConnectorNames[static_cast<std::size_t>(connector)];
}

}  // namespace microvmi::tool
