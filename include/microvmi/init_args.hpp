// SPDX-License-Identifier: Apache-2.0
// possible_init_args: what each driver and connector takes, as data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "microvmi/driver.hpp"
#include "microvmi/driver/memflow.hpp"
#include "microvmi/param/describe.hpp"

namespace microvmi {

// One parameter as a driver's documentation tells it; param::json and param::help write it out.
using DriverInitParamDesc = param::Description;

// What each driver takes, in this build or not. The common parameters that it takes come first;
// those of memflow include the parameters of its connectors.
[[nodiscard]] std::map<DriverType, std::vector<DriverInitParamDesc>> possible_init_args();
[[nodiscard]] std::vector<DriverInitParamDesc> possible_init_args(DriverType driver);
[[nodiscard]] std::vector<DriverInitParamDesc> possible_init_args(Connector connector);

// Every parameter once: the common ones, then those of each driver.
[[nodiscard]] std::vector<DriverInitParamDesc> every_init_arg();

// The page docs/reference/parameters.md.
[[nodiscard]] std::string init_args_page();

}  // namespace microvmi
