// SPDX-License-Identifier: Apache-2.0
// Which connectors the parameters leave, and the first of them that opens.
#pragma once

#include <span>
#include <vector>

#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::memflow {

// What became of one connector.
struct ConnectorAttempt {
  Connector connector;
  Error error;
};

struct Usable {
  const ConnectorInfo* info;
  Readiness readiness;
};

struct Selection {
  std::vector<Usable> usable;  // ready ones first, else in the order of Connector
  std::vector<ConnectorAttempt> attempts;
};

// The one that is named or whose arguments are given; without either, all whose probe agrees.
[[nodiscard]] Selection select(std::span<const ConnectorInfo> registry,
                               const DriverInitParams& params);

[[nodiscard]] Expected<std::unique_ptr<Driver>> open_first(Selection selection,
                                                           const DriverInitParams& params,
                                                           const InitOptions& options);

// All reasons in one error; its code is that of the connector that tells most.
[[nodiscard]] Error failure(std::span<const ConnectorAttempt> attempts);

}  // namespace microvmi::memflow
