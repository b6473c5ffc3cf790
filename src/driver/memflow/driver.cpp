// SPDX-License-Identifier: Apache-2.0
// The memflow driver: hands over the guest that one of the connectors opens.
#include <algorithm>
#include <iterator>

#include "driver/memflow/selection.hpp"
#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::memflow {
namespace {

Expected<Readiness> probe(const DriverInitParams& params) {
  const Selection selection = select(connectors(), params);
  if (selection.usable.empty()) return std::unexpected(failure(selection.attempts));
  return selection.usable.front().readiness;
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  return open_first(select(connectors(), params), params, options);
}

std::vector<Found> scan(const ScanOptions& options) {
  std::vector<Found> all;
  for (const ConnectorInfo& connector : connectors()) {
    if (!connector.scan || options.wait.over() != Errc::none) continue;
    std::ranges::move(connector.scan(options), std::back_inserter(all));
  }
  return all;
}

std::vector<Suggestion> ask(Connector connector, std::string_view key) {
  const ConnectorInfo& info = connectors()[static_cast<std::size_t>(connector)];
  return info.candidates ? info.candidates(key) : std::vector<Suggestion>{};
}

// A connector answers for its own keys, and all of them for the common ones.
std::vector<Suggestion> candidates(std::string_view key) {
  constexpr std::string_view kSection = "memflow.";
  for (const ConnectorInfo& connector : connectors()) {
    const std::string_view name = kConnectorNames[static_cast<std::size_t>(connector.type)];
    if (key.starts_with(kSection) && !key.substr(kSection.size()).starts_with(name)) continue;
    if (auto found = ask(connector.type, key); !found.empty()) return found;
  }
  // Where this build has no kvm that looks for guests, those of QEMU are the ones there may be.
  const bool looks = connectors()[static_cast<std::size_t>(Connector::kvm)].candidates;
  if (key == "memflow.kvm.pid" && !looks)
    return ask(Connector::qemu_procfs, "memflow.qemu-procfs.pid");
  return {};
}

}  // namespace

extern const DriverInfo kDriver;
constinit const DriverInfo kDriver{.type = DriverType::memflow,
                                   .summary = "Physical memory through a connector",
                                   .probe = probe,
                                   .open = open,
                                   .scan = scan,
                                   .candidates = candidates};

}  // namespace microvmi::memflow
