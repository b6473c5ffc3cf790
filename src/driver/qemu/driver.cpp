// SPDX-License-Identifier: Apache-2.0
// The row of qemu in the registry.
#include "driver/qemu/guest.hpp"
#include "driver/qemu/scan.hpp"
#include "driver/qemu/selection.hpp"

namespace microvmi::qemu {
namespace {

Expected<Readiness> probe(const DriverInitParams& params) {
  const auto process = qemu_driver::select(params);
  if (!process) return std::unexpected(process.error());
  return Readiness{.note = to_text(*process)};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  const Wanted wanted = qemu_driver::wanted_of(params);
  const auto process = qemu_driver::select(params);
  if (!process) return std::unexpected(process.error());
  if (!wanted.pid && !wanted.name && options.log)
    options.log("qemu: no guest is named; taking the first, " + to_text(*process));
  return qemu_driver::Guest::open(*process, qemu_driver::own_params(params),
                                  qemu_driver::may_inject(params, process->pid), options);
}

}  // namespace

extern const DriverInfo kDriver;
constinit const DriverInfo kDriver{.type = DriverType::qemu,
                                   .summary = "Guest of a stock QEMU",
                                   .probe = probe,
                                   .open = open,
                                   .scan = qemu_driver::scan,
                                   .candidates = qemu_driver::candidates};

}  // namespace microvmi::qemu
