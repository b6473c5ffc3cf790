// SPDX-License-Identifier: Apache-2.0
// Listing real guests, with and without asking their monitors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/connector/qemu_procfs/live.hpp"

namespace microvmi {
namespace {

using test::pid_of;
using test::QemuGuest;
using test::still_guest;

std::optional<Found> row_of(const QemuGuest& guest, const ScanOptions& options) {
  const auto rows = scan(options);
  const auto found = std::ranges::find_if(rows, [&](const Found& one) {
    return one.pid == pid_of(guest) && one.connector == Connector::qemu_procfs;
  });
  return found == rows.end() ? std::nullopt : std::optional(*found);
}

// A monitor has 20 ms to answer, which a busy machine may not give it each time.
std::optional<bool> running(const QemuGuest& guest) {
  std::optional<bool> told;
  for (int attempt = 0; attempt < 50 && !told; ++attempt) {
    const auto row = row_of(guest, {});
    if (row) told = row->running;
  }
  return told;
}

TEST(QemuProcfsScanLiveTest, ARowOpensWhatItTells) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("to be found"));
  ASSERT_TRUE(guest) << guest.error();
  const auto row = row_of(**guest, {.ask_monitors = false});
  ASSERT_TRUE(row);
  EXPECT_EQ(row->vm_name, "to be found");
  EXPECT_EQ(row->driver, DriverType::memflow);
  EXPECT_EQ(row->running, std::nullopt);
  const auto vm = init(row->driver, DriverParams(row->params));
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->info().pid, pid_of(**guest));
}

TEST(QemuProcfsScanLiveTest, MonitorsTellWhatRuns) {
  MICROVMI_NEEDS_QEMU();
  const auto stopped = QemuGuest::start(still_guest("stopped"));
  const auto silent = QemuGuest::start(still_guest("silent", test::Monitor::none));
  ASSERT_TRUE(stopped && silent);
  EXPECT_EQ(running(**stopped), false);
  EXPECT_EQ(row_of(**silent, {})->running, std::nullopt);
  ASSERT_TRUE((*stopped)->cont());
  EXPECT_EQ(running(**stopped), true);
}

TEST(QemuProcfsScanLiveTest, CandidatesOfItsKeys) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("a candidate"));
  ASSERT_TRUE(guest) << guest.error();
  const auto has = [](std::string_view key, const std::string& value) {
    const auto* const candidates =
        &connectors()[static_cast<std::size_t>(Connector::qemu_procfs)].candidates;
    const auto all = (*candidates)(key);
    return std::ranges::any_of(all, [&](const Suggestion& one) { return one.value == value; });
  };
  const std::string pid = std::to_string(pid_of(**guest));
  EXPECT_TRUE(has("memflow.qemu-procfs.pid", pid));
  EXPECT_TRUE(has("memflow_qemu_procfs_pid", pid));
  EXPECT_TRUE(has("vm-name", "a candidate"));
  EXPECT_FALSE(has("memflow.coredump.filepath", pid));
}

TEST(QemuProcfsScanLiveTest, AGuestWithoutKvmIsNoCandidateOfTheKvmConnector) {
  MICROVMI_NEEDS_QEMU();
  if (!connectors()[static_cast<std::size_t>(Connector::kvm)].candidates)
    GTEST_SKIP() << "the kvm connector is not in this build";
  const auto guest = QemuGuest::start(still_guest("emulated"));
  ASSERT_TRUE(guest) << guest.error();
  const std::string pid = std::to_string(pid_of(**guest));
  const auto all = candidates("memflow.kvm.pid");
  EXPECT_TRUE(std::ranges::none_of(all, [&](const Suggestion& one) { return one.value == pid; }));
}

}  // namespace
}  // namespace microvmi
