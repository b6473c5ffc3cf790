// SPDX-License-Identifier: Apache-2.0
// init: the front door. Finds a driver for the parameters and opens the guest; from any thread.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"
#include "microvmi/vm.hpp"

namespace microvmi {

// What became of one driver.
struct Attempt {
  enum class Stage : std::uint8_t { choice, probe, open };

  DriverType driver;
  Stage stage;
  Error error;
};

// Why no guest was opened: wrong parameters, or the reason of every driver.
struct InitError : Error {
  std::vector<param::Problem> problems{};
  std::vector<Attempt> attempts{};
};

// Without a driver, those are tried whose own parameters are given; if there are none, those that
// need none of their own. Ready ones come first, in the order of DriverType, then those that have
// to wait. A driver that fails is noted and the next one tried.
[[nodiscard]] std::expected<Vm, InitError> init(std::optional<DriverType> driver = {},
                                                const DriverInitParams& params = {},
                                                const InitOptions& options = {});

[[nodiscard]] std::expected<Vm, InitError> init(std::optional<DriverType> driver,
                                                const DriverParams& params,
                                                const InitOptions& options = {});

// Whether any of the driver's own parameters is given.
[[nodiscard]] bool is_given(DriverType type, const DriverInitParams& params);

// Why init() without a driver leaves this one out; empty where it tries it.
[[nodiscard]] std::string why_left_out(DriverType type, const DriverInitParams& params);

// Wrong parameters as init() would tell them: where one is required and missing, with the values
// that it could have now.
[[nodiscard]] InitError wrong_parameters(std::vector<param::Problem> problems);

}  // namespace microvmi
