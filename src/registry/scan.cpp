// SPDX-License-Identifier: Apache-2.0
// scan and candidates: what each driver of this build could open, in the order of the registry.
#include <algorithm>
#include <iterator>

#include "microvmi/init_params.hpp"
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

std::vector<Suggestion> candidates(std::string_view key) {
  const param::Info* row = param::find(param::table<DriverInitParams>(), key);
  std::vector<Suggestion> all;
  for (const DriverInfo& driver : drivers()) {
    if (!row || !driver.candidates) continue;
    for (Suggestion& one : driver.candidates(row->key.view()))
      if (std::ranges::find(all, one.value, &Suggestion::value) == all.end())
        all.push_back(std::move(one));
  }
  return all;
}

}  // namespace microvmi
