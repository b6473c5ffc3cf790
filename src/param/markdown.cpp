// SPDX-License-Identifier: Apache-2.0
// Rows as Markdown tables, for the reference page.
#include "microvmi/param/describe.hpp"

namespace microvmi::param {
namespace {

std::string code_list(std::span<const std::string> texts) {
  std::string out;
  for (const std::string& text : texts) out.append(out.empty() ? "`" : ", `").append(text + '`');
  return out;
}

// Required, optional, or the default.
std::string presence_of(const Description& row) {
  if (row.default_value.empty()) return row.presence;
  return "default " + code_list(row.default_value);
}

std::string meaning_of(const Description& row) {
  std::string out = row.description + '.';
  if (!row.choices.empty()) out += " One of " + code_list(row.choices) + '.';
  if (row.repeated) out += " May be repeated.";
  if (!row.aliases.empty()) out += " Also " + code_list(row.aliases) + '.';
  return out;
}

}  // namespace

std::string markdown(std::span<const Description> rows) {
  std::string out;
  const std::string* group = nullptr;
  for (const Description& row : rows) {
    if (!group || *group != row.group)
      out += (group ? "\n## " : "## ") + row.group +
             "\n\n| key | option | type | presence | meaning |\n|---|---|---|---|---|\n";
    group = &row.group;
    out += "| `" + row.name + "` | `" + row.option + "` | " + row.type + " | " + presence_of(row) +
           " | " + meaning_of(row) + " |\n";
  }
  return out;
}

}  // namespace microvmi::param
