// SPDX-License-Identifier: Apache-2.0
// From simdjson's document to the values that the rest of the library knows.
#include "qemu/json.hpp"

#include <simdjson.h>

#include <string>

namespace microvmi::qemu {
namespace {

using Json = nlohmann::json;
namespace dom = simdjson::dom;

Json value_of(const dom::element& element);

Json object_of(const dom::object& object) {
  Json out = Json::object();
  for (const auto& [key, value] : object) out[std::string(key)] = value_of(value);
  return out;
}

Json array_of(const dom::array& array) {
  Json out = Json::array();
  for (const dom::element& value : array) out.push_back(value_of(value));
  return out;
}

// The getters do not fail, as the type was looked at.
Json value_of(const dom::element& element) {
  switch (element.type()) {
    case dom::element_type::OBJECT:
      return object_of(element.get_object().value_unsafe());
    case dom::element_type::ARRAY:
      return array_of(element.get_array().value_unsafe());
    case dom::element_type::STRING:
      return std::string(element.get_string().value_unsafe());
    case dom::element_type::INT64: {
      const std::int64_t number = element.get_int64().value_unsafe();
      return number < 0 ? Json(number) : Json(static_cast<std::uint64_t>(number));
    }
    case dom::element_type::UINT64:
      return element.get_uint64().value_unsafe();
    case dom::element_type::DOUBLE:
      return element.get_double().value_unsafe();
    case dom::element_type::BOOL:
      return element.get_bool().value_unsafe();
    case dom::element_type::NULL_VALUE:
      break;
  }
  return nullptr;
}

}  // namespace

std::optional<Json> parse_json(std::string_view text) {
  dom::parser parser;
  dom::element element;
  if (parser.parse(text.data(), text.size()).get(element) != simdjson::SUCCESS) return std::nullopt;
  return value_of(element);
}

}  // namespace microvmi::qemu
