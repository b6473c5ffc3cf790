// SPDX-License-Identifier: Apache-2.0
// Splitting comma lists with their doubled commas, flattening JSON, reading sizes.
#include "qemu/options.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace microvmi::qemu {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostOptions = 4096;
constexpr int kDeepest = 8;  // QEMU's own objects nest two or three deep

// Up to the next single comma, with ",," turned into one; `rest` starts behind it.
std::string take_element(std::string_view& rest) {
  std::string out;
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    out += rest.substr(0, comma);
    rest.remove_prefix(comma);
    const bool doubled = rest.size() > 1 && rest[1] == ',';
    rest.remove_prefix(std::min<std::size_t>(doubled ? 2 : 1, rest.size()));
    if (!doubled) break;
    out += ',';
  }
  return out;
}

std::string scalar(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Depth is bounded by the parser below, so that this cannot run away.
void flatten(const Json& value, const std::string& prefix,
             std::vector<std::pair<std::string, std::string>>& out) {
  for (const auto& [key, inner] : value.items()) {
    if (out.size() >= kMostOptions) return;
    if (inner.is_object())
      flatten(inner, prefix + key + ".", out);
    else
      out.emplace_back(prefix + key, scalar(inner));
  }
}

Expected<Json> json_options(std::string_view text) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kDeepest; };
  Json value = Json::parse(text, shallow, false);
  if (value.is_discarded() || !value.is_object())
    return fail(Errc::invalid_argument, "broken JSON \"" + std::string(text.substr(0, 80)) + '"');
  return value;
}

}  // namespace

Expected<Options> Options::parse(std::string_view text, std::string_view implied) {
  Options out;
  if (text.starts_with('{')) {
    const auto value = json_options(text);
    if (!value) return std::unexpected(value.error());
    flatten(*value, "", out.values_);
    return out;
  }
  for (bool first = true; !text.empty(); first = false) {
    if (out.values_.size() >= kMostOptions)
      return fail(Errc::invalid_argument, "more options in one list than QEMU has");
    // A key ends at the first '='; where a comma comes before it, there is no key.
    const std::size_t mark = text.find_first_of("=,");
    if (mark != std::string_view::npos && text[mark] == '=') {
      std::string key(text.substr(0, mark));
      text.remove_prefix(mark + 1);
      out.values_.emplace_back(std::move(key), take_element(text));
      continue;
    }
    std::string element = take_element(text);
    if (first && !implied.empty())
      out.values_.emplace_back(implied, std::move(element));
    else if (element.starts_with("no"))
      out.values_.emplace_back(element.substr(2), "off");
    else
      out.values_.emplace_back(std::move(element), "on");
  }
  return out;
}

std::optional<std::string_view> Options::get(std::string_view key) const {
  for (std::size_t i = values_.size(); i-- > 0;)
    if (values_[i].first == key) return values_[i].second;
  return std::nullopt;
}

bool Options::is_on(std::string_view key) const {
  const std::string_view value = view(key);
  return value == "on" || value == "yes" || value == "true" || value == "y";
}

void Options::merge(Options other) {
  for (auto& one : other.values_) values_.push_back(std::move(one));
}

std::optional<std::uint64_t> parse_size(std::string_view text, std::uint64_t unit) {
  constexpr std::string_view kSuffixes = "bkmgtpe";  // powers of 1024 in this order
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  std::uint64_t whole = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] =
      std::from_chars(text.data() + (hex ? 2 : 0), end, whole, hex ? 16 : 10);
  if (error != std::errc{}) return std::nullopt;
  long double fraction = 0;
  const char* rest = after;
  if (!hex && rest != end && *rest == '.') {
    long double digit = 0.1L;
    for (++rest; rest != end && *rest >= '0' && *rest <= '9'; ++rest, digit /= 10)
      fraction += digit * static_cast<long double>(*rest - '0');
  }
  if (rest != end) {
    const std::size_t power = kSuffixes.find(lower(*rest));
    if (power == std::string_view::npos || rest + 1 != end) return std::nullopt;
    unit = std::uint64_t{1} << (10 * power);
  }
  if (whole > UINT64_MAX / unit) return std::nullopt;
  const auto part =
      static_cast<std::uint64_t>(std::llroundl(fraction * static_cast<long double>(unit)));
  const std::uint64_t bytes = whole * unit;
  return part > UINT64_MAX - bytes ? std::nullopt : std::optional(bytes + part);
}

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [after, error] = std::from_chars(begin, end, value);
  if (error != std::errc{} || after != end) return std::nullopt;
  return value;
}

}  // namespace microvmi::qemu
