// SPDX-License-Identifier: Apache-2.0
// The rows of a scan agree with each other.
#include "registry/scan.hpp"

#include <gtest/gtest.h>

namespace microvmi {
namespace {

Found row(DriverType driver, std::optional<std::uint32_t> pid, std::optional<bool> running) {
  Found out;
  out.driver = driver;
  out.pid = pid;
  out.running = running;
  return out;
}

TEST(ScanTest, EachWayToAGuestTellsWhetherItRuns) {
  std::vector<Found> rows{row(DriverType::qemu, 7, std::nullopt), row(DriverType::qemu, 8, true),
                          row(DriverType::memflow, 7, false),
                          row(DriverType::memflow, 8, std::nullopt),
                          row(DriverType::memflow, 9, std::nullopt)};
  share_run_states(rows);
  EXPECT_EQ(rows[0].running, false);
  EXPECT_EQ(rows[3].running, true);
  EXPECT_EQ(rows[4].running, std::nullopt);
}

TEST(ScanTest, GuestsWithoutAProcessAreNoOneGuest) {
  std::vector<Found> rows{row(DriverType::xen, std::nullopt, true),
                          row(DriverType::xen, std::nullopt, std::nullopt)};
  share_run_states(rows);
  EXPECT_EQ(rows[1].running, std::nullopt);
}

}  // namespace
}  // namespace microvmi
