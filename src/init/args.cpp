// SPDX-License-Identifier: Apache-2.0
// What each driver and connector takes, from the rows of DriverInitParams.
#include "microvmi/init_args.hpp"

#include "init/common_keys.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi {
namespace {

using Descs = std::vector<DriverInitParamDesc>;

void add(Descs& out, const param::Table& rows) {
  for (DriverInitParamDesc& one : param::describe(rows)) out.push_back(std::move(one));
}

template <class Type>
Descs descs(Type type, const std::string& section) {
  const param::Table all = param::table<DriverInitParams>();
  Descs out;
  for (const std::string_view key : common_keys(type))
    if (const param::Info* info = param::find(all, key)) out.push_back(describe(all, *info));
  add(out, all.within(section));
  return out;
}

}  // namespace

std::vector<DriverInitParamDesc> possible_init_args(DriverType driver) {
  return descs(driver, name_of(driver));
}

std::vector<DriverInitParamDesc> possible_init_args(Connector connector) {
  return descs(connector, "memflow." + param::Value<Connector>::format(connector));
}

std::map<DriverType, Descs> possible_init_args() {
  std::map<DriverType, Descs> out;
  for (std::size_t i = 0; i < kDriverNames.size(); ++i) {
    const auto driver = static_cast<DriverType>(i);
    out[driver] = possible_init_args(driver);
  }
  return out;
}

std::vector<DriverInitParamDesc> every_init_arg() {
  return param::describe(param::table<DriverInitParams>());
}

}  // namespace microvmi
