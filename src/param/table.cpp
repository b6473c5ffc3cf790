// SPDX-License-Identifier: Apache-2.0
// A table looked up.
#include <algorithm>

#include "microvmi/param/nearest.hpp"
#include "microvmi/param/table.hpp"

namespace microvmi::param {
Table Table::within(std::string_view section) const {
  const auto inside = [section](const Info& info) {
    const std::string_view key = info.key.view();
    return key.size() > section.size() && key.starts_with(section) && key[section.size()] == '.';
  };
  const auto first = std::ranges::find_if(rows, inside);
  const auto last = std::find_if_not(first, rows.end(), inside);
  return {{first, last}, sections};
}

const Info* find(const Table& table, std::string_view key) {
  const auto row = std::ranges::find_if(table, [key](const Info& info) {
    return same_key(info.key.view(), key) ||
           std::ranges::any_of(info.aliases, [key](const Key& alias) {
             return !alias.empty() && same_key(bare(alias), key);
           });
  });
  return row == table.end() ? nullptr : &*row;
}

std::string nearest(const Table& table, std::string_view key) {
  std::vector<std::string_view> known;
  for (const Info& info : table) {
    known.push_back(info.key.view());
    for (const Key& alias : info.aliases)
      if (!alias.empty()) known.push_back(bare(alias));
  }
  return nearest_of(known, key);
}

std::vector<std::string> default_of(const Table& table, const Info& info) {
  if (info.presence != Presence::defaulted) return {};
  return info.format(table.sections[info.section].blank());
}

std::string group_of(const Table& table, const Info& info) {
  std::string out = info.group;
  if (!out.empty()) return out;
  for (std::size_t s = info.section; s != 0; s = table.sections[s].outer) {
    const Section& section = table.sections[s];
    std::string name = section.name.empty() ? section.help : section.name.c_str();
    if (!name.empty() && !out.empty()) name += ' ';
    out.insert(0, name);
  }
  return out;
}

std::string option_of(const Info& info) {
  std::string out = "--";
  for (const char c : info.key.view()) out += c == '.' ? '-' : c;
  return out;
}

}  // namespace microvmi::param
