// SPDX-License-Identifier: Apache-2.0
// [[range]] with base, length and real_base; whatever else stands there is an error.
#include "connector/pcileech/memmap_toml.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

namespace microvmi::pcileech_connector {
namespace {

// toml++ reads nested brackets and dots by recursion.
constexpr std::ptrdiff_t kMostNesting = 200;

bool nests_too_deep(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (std::ranges::count_if(line, [](char c) { return c == '.' || c == '[' || c == '{'; }) >
        kMostNesting)
      return true;
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return false;
}

class Ranges {
 public:
  explicit Ranges(const std::string& name) : name_(name) {}

  Expected<std::vector<MapRange>> of(const toml::table& file) {
    for (const auto& [key, node] : file) {
      const auto* list = node.as_array();
      if (key.str() != "range" || !list)
        return wrong(node, fmt::format("'{}' stands where only [[range]] may", key.str()));
      for (const toml::node& one : *list)
        if (auto done = add(one); !done) return std::unexpected(done.error());
    }
    return std::move(ranges_);
  }

 private:
  [[nodiscard]] std::unexpected<Error> wrong(const toml::node& node,
                                             const std::string& what) const {
    return fail(Errc::invalid_argument,
                fmt::format("{}, line {}: {}", name_, node.source().begin.line, what));
  }

  Expected<void> add(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (!table) return wrong(node, "a range is a table");
    std::optional<std::uint64_t> base;
    std::optional<std::uint64_t> length;
    std::optional<std::uint64_t> real;
    for (const auto& [key, value] : *table) {
      auto* into = key.str() == "base"        ? &base
                   : key.str() == "length"    ? &length
                   : key.str() == "real_base" ? &real
                                              : nullptr;
      if (!into)
        return wrong(value,
                     fmt::format("a range has base, length and real_base, no '{}'", key.str()));
      const auto* number = value.as_integer();
      if (!number || number->get() < 0)
        return wrong(value, fmt::format("{} is no number from 0 on", key.str()));
      *into = static_cast<std::uint64_t>(number->get());
    }
    if (!base || !length) return wrong(node, "a range needs base and length");
    ranges_.push_back({*base, *length, real.value_or(*base)});
    return {};
  }

  const std::string& name_;
  std::vector<MapRange> ranges_;
};

}  // namespace

Expected<std::vector<MapRange>> parse_memmap_toml(std::string_view text, const std::string& name) {
  if (nests_too_deep(text))
    return fail(Errc::invalid_argument, name + " nests deeper than a memory map does");
  try {
    return Ranges(name).of(toml::parse(text));
  } catch (const toml::parse_error& error) {
    return fail(
        Errc::invalid_argument,
        fmt::format("{}, line {}: {}", name, error.source().begin.line, error.description()));
  }
}

}  // namespace microvmi::pcileech_connector
