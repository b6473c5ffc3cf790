// SPDX-License-Identifier: Apache-2.0
// scan: what each driver of this build could open, in the order of the registry.
#include <iterator>

#include "microvmi/registry.hpp"

namespace microvmi {

std::vector<Found> scan(const ScanOptions& options) {
  std::vector<Found> all;
  for (const DriverInfo& driver : drivers()) {
    if (!driver.scan || options.wait.over() != Errc::none) continue;
    auto found = driver.scan(options);
    all.insert(all.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  return all;
}

}  // namespace microvmi
