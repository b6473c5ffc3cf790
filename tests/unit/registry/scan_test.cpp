// SPDX-License-Identifier: Apache-2.0
// The rows of a scan agree with each other, and are told as JSON.
#include "registry/scan.hpp"

#include <gtest/gtest.h>

#include "microvmi/scan_json.hpp"

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

TEST(ScanTest, JsonHasEveryKeyAndSurvivesAnyName) {
  const Found one{.driver = DriverType::memflow,
                  .connector = Connector::qemu_procfs,
                  .vm_name = "a\xff\n",
                  .pid = 7,
                  .running = false,
                  .vcpus = 2,
                  .facts = {{"machine", std::string("pc")}, {"bits", std::uint64_t{1} << 63}},
                  .params = {{"memflow.connector", "qemu-procfs"}, {"x", "1"}, {"x", "2"}}};
  EXPECT_EQ(json(std::vector{one}), R"([
 {
  "driver": "memflow",
  "connector": "qemu-procfs",
  "vm_name": "a)"
                                    "\xef\xbf\xbd"
                                    R"(\n",
  "pid": 7,
  "running": false,
  "vcpus": 2,
  "facts": {
   "machine": "pc",
   "bits": 9223372036854775808
  },
  "params": {
   "memflow.connector": "qemu-procfs",
   "x": [
    "1",
    "2"
   ]
  }
 }
]
)");
  EXPECT_EQ(json({}), "[]\n");
  EXPECT_TRUE(json(std::vector{row(DriverType::xen, std::nullopt, std::nullopt)})
                  .contains("\"connector\": null,\n  \"vm_name\": null,\n  \"pid\": null"));
}

}  // namespace
}  // namespace microvmi
