// SPDX-License-Identifier: Apache-2.0
// The guests of the connector, opened by this driver.
#include "driver/qemu/scan.hpp"

#include "connector/qemu_procfs/scan.hpp"

namespace microvmi::qemu_driver {

std::vector<Found> scan(const ScanOptions& options) {
  std::vector<Found> rows = qemu_procfs_connector::scan(options);
  for (Found& one : rows) {
    one.driver = DriverType::qemu;
    one.connector.reset();
    one.params = {{.key = "qemu.pid", .value = std::to_string(one.pid.value_or(0))}};
  }
  return rows;
}

std::vector<Suggestion> candidates(std::string_view key) {
  return qemu_procfs_connector::candidates(key);
}

}  // namespace microvmi::qemu_driver
