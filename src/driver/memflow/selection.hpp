// SPDX-License-Identifier: Apache-2.0
// Which connectors the parameters leave, and the first of them that opens.
#pragma once

#include <array>
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
  std::vector<Usable> usable;  // ready ones first, else as they are tried
  std::vector<ConnectorAttempt> attempts;
};

// The order in which they are tried where nobody says which: guests that run come first, and a
// device, which is another machine's, last.
inline constexpr std::array<Connector, kConnectorNames.size()> kTrialOrder{
    Connector::qemu_procfs, Connector::kvm, Connector::coredump, Connector::pcileech};

// The one that is named or whose arguments are given; without either, all whose probe agrees.
[[nodiscard]] Selection select(std::span<const ConnectorInfo> registry,
                               const DriverInitParams& params);

// Of several each has a part of the time, so that one that hangs leaves some for the others.
[[nodiscard]] Expected<std::unique_ptr<Driver>> open_first(Selection selection,
                                                           const DriverInitParams& params,
                                                           const InitOptions& options);

// All reasons in one error, in that order; its code is that of the connector that tells most.
[[nodiscard]] Error failure(std::span<const ConnectorAttempt> attempts);

}  // namespace microvmi::memflow
