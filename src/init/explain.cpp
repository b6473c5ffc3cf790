// SPDX-License-Identifier: Apache-2.0
// What is in force of everything that was given, and why the rest is not.
#include "init/connector_args.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi {

std::vector<Explained> DriverParams::explain() const {
  const param::Table table = param::table<DriverInitParams>();
  Expanded given = expand(settings_);
  auto overruled = param::drop_overruled(table, given.settings);
  overruled.insert(overruled.begin(), given.overruled.begin(), given.overruled.end());
  std::vector<Explained> out;
  for (const param::Info& info : table) {
    Explained row{.key = std::string(info.key.view())};
    for (const param::Setting& one : given.settings) {
      if (param::find(table, one.key) != &info) continue;
      row.values.push_back(one.value);
      row.origin = one.origin;
    }
    for (const param::Overruled& one : overruled)
      if (param::find(table, one.setting.key) == &info) row.dropped.push_back(one);
    if (!row.origin) row.values = param::default_of(table, info);
    if (!row.origin && !row.values.empty())
      row.origin = param::Origin{param::Source::default_value, ""};
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace microvmi
