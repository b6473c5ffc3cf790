// SPDX-License-Identifier: Apache-2.0
// Keys in the order they are written, numbers as integers.
#include "microvmi/scan_json.hpp"

#include <nlohmann/json.hpp>

namespace microvmi {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const auto& value) { return value ? Json(*value) : Json(nullptr); }

Json params_json(std::span<const param::Setting> settings) {
  Json out = Json::object();
  for (const param::Setting& one : settings) {
    Json& value = out[one.key];
    if (value.is_null())
      value = one.value;
    else if (value.is_array())
      value.push_back(one.value);
    else
      value = Json::array({value, one.value});
  }
  return out;
}

Json facts_json(std::span<const Fact> facts) {
  Json out = Json::object();
  for (const Fact& fact : facts)
    std::visit([&](const auto& value) { out[fact.name] = value; }, fact.value);
  return out;
}

Json row(const Found& one) {
  return {{"driver", name_of(one.driver)},
          {"connector",
           one.connector ? Json(param::Value<Connector>::format(*one.connector)) : Json(nullptr)},
          {"vm_name", or_null(one.vm_name)},
          {"pid", or_null(one.pid)},
          {"running", or_null(one.running)},
          {"vcpus", or_null(one.vcpus)},
          {"facts", facts_json(one.facts)},
          {"params", params_json(one.params)}};
}

}  // namespace

std::string json(std::span<const Found> rows) {
  Json out = Json::array();
  for (const Found& one : rows) out.push_back(row(one));
  return out.dump(1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace microvmi
