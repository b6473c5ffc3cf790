// SPDX-License-Identifier: Apache-2.0
// scan and candidates: what each driver of this build could open, in the order of the registry.
#include <algorithm>
#include <iterator>

#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"
#include "registry/scan.hpp"

namespace microvmi {

// Each way asks by itself and in little time: a busy monitor may answer one and not the other.
void share_run_states(std::vector<Found>& rows) {
  for (Found& row : rows) {
    if (row.running || !row.pid) continue;
    const auto asked = std::ranges::find_if(
        rows, [&](const Found& other) { return other.pid == row.pid && other.running; });
    if (asked != rows.end()) row.running = asked->running;
  }
}

std::vector<Found> scan(const ScanOptions& options) {
  std::vector<Found> all;
  for (const DriverInfo& driver : drivers()) {
    if (!driver.scan || options.wait.over() != Errc::none) continue;
    auto found = driver.scan(options);
    all.insert(all.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  share_run_states(all);
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
