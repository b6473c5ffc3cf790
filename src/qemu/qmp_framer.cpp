// SPDX-License-Identifier: Apache-2.0
// Finds the ends of JSON objects, byte by byte outside of strings, and has each whole one parsed.
#include "qemu/qmp_framer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "qemu/json.hpp"

namespace microvmi::qemu {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

Expected<std::vector<nlohmann::json>> Framer::feed(std::string_view bytes) {
  std::vector<nlohmann::json> out;
  while (!bytes.empty()) {
    if (message_.empty() && is_blank(bytes.front())) {
      bytes.remove_prefix(1);
      continue;
    }
    if (message_.empty() && bytes.front() != '{')
      return fail(Errc::protocol, fmt::format("not a JSON object but {:?}", bytes.substr(0, 40)),
                  {}, bytes.starts_with("QEMU ") ? "a human monitor: give QEMU a -qmp one" : "");
    const std::string_view some = bytes.substr(0, in_string_ ? string_part(bytes) : 1);
    bytes.remove_prefix(some.size());
    const auto ended = take(some);
    if (!ended) return std::unexpected(ended.error());
    if (!*ended) continue;
    auto object = parse_json(message_);
    if (!object || !object->is_object())
      return fail(Errc::protocol,
                  fmt::format("broken JSON: {:?}", std::string_view(message_).substr(0, 40)));
    out.push_back(*std::move(object));
    message_.clear();
    values_ = 0;
  }
  return out;
}

std::size_t Framer::string_part(std::string_view bytes) const {
  if (escaped_) return 1;
  const auto* const special =
      std::ranges::find_if(bytes, [](char c) { return c == '"' || c == '\\'; });
  return static_cast<std::size_t>(special - bytes.begin()) + (special == bytes.end() ? 0 : 1);
}

Expected<bool> Framer::take(std::string_view some) {
  if (some.size() > kMaxMessage - message_.size())
    return fail(Errc::protocol, fmt::format("a message of more than {} bytes", kMaxMessage));
  message_ += some;
  if (!in_string_) return take_outside_string(some.front());
  if (escaped_)
    escaped_ = false;
  else if (some.back() == '\\')
    escaped_ = true;
  else if (some.back() == '"')
    in_string_ = false;
  return false;
}

Expected<bool> Framer::take_outside_string(char c) {
  switch (c) {
    case '"':
      in_string_ = true;
      return false;
    case '{':
    case '[':
      if (++depth_ > kMaxNesting)
        return fail(Errc::protocol, fmt::format("a message nested more than {} deep", kMaxNesting));
      [[fallthrough]];
    case ',':
      if (++values_ > kMaxValues)
        return fail(Errc::protocol, fmt::format("a message of more than {} values", kMaxValues));
      return false;
    case '}':
    case ']':
      return --depth_ == 0;
    default:
      return false;
  }
}

}  // namespace microvmi::qemu
