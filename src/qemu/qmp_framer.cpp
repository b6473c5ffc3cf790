// SPDX-License-Identifier: Apache-2.0
// Finds the ends of JSON objects, byte by byte, and has each whole one parsed.
#include "qemu/qmp_framer.hpp"

#include <fmt/format.h>

#include <utility>

namespace microvmi::qemu {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

Expected<std::vector<nlohmann::json>> Framer::feed(std::string_view bytes) {
  std::vector<nlohmann::json> out;
  for (std::size_t i = 0; i != bytes.size(); ++i) {
    const char c = bytes[i];
    if (message_.empty() && is_blank(c)) continue;
    if (message_.empty() && c != '{')
      return fail(
          Errc::protocol, fmt::format("not a JSON object but {:?}", bytes.substr(i, 40)), {},
          bytes.substr(i).starts_with("QEMU ") ? "a human monitor: give QEMU a -qmp one" : "");
    const auto ended = take(c);
    if (!ended) return std::unexpected(ended.error());
    if (!*ended) continue;
    auto object = nlohmann::json::parse(message_, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object())
      return fail(Errc::protocol,
                  fmt::format("broken JSON: {:?}", std::string_view(message_).substr(0, 40)));
    out.push_back(std::move(object));
    message_.clear();
    values_ = 0;
  }
  return out;
}

Expected<bool> Framer::take(char c) {
  if (message_.size() == kMaxMessage)
    return fail(Errc::protocol, fmt::format("a message of more than {} bytes", kMaxMessage));
  message_ += c;
  if (!in_string_) return take_outside_string(c);
  if (escaped_)
    escaped_ = false;
  else if (c == '\\')
    escaped_ = true;
  else if (c == '"')
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
