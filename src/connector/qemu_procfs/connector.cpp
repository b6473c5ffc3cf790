// SPDX-License-Identifier: Apache-2.0
// The row of qemu_procfs in the registry.
#include "connector/qemu_procfs/guest.hpp"
#include "connector/qemu_procfs/scan.hpp"
#include "connector/qemu_procfs/selection.hpp"

namespace microvmi::qemu_procfs_connector {
namespace {

Expected<Readiness> probe(const DriverInitParams& params) {
  const auto process = select(wanted_of(params));
  if (!process) return std::unexpected(process.error());
  return Readiness{.note = to_text(*process)};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  const qemu::Wanted wanted = wanted_of(params);
  const auto process = select(wanted);
  if (!process) return std::unexpected(process.error());
  if (!wanted.pid && !wanted.name && options.log)
    options.log("qemu-procfs: no guest is named; taking the first, " + to_text(*process));
  return Guest::open(*process, own_params(params), options);
}

}  // namespace

extern const ConnectorInfo kConnector;
constinit const ConnectorInfo kConnector{.type = Connector::qemu_procfs,
                                         .summary = "QEMU process read through /proc",
                                         .probe = probe,
                                         .open = open,
                                         .scan = scan,
                                         .candidates = candidates};

}  // namespace microvmi::qemu_procfs_connector
