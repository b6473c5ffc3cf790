// SPDX-License-Identifier: Apache-2.0
// The harness itself: a QEMU starts, answers, and leaves nothing behind.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>

#include "support/qemu_guest.hpp"

namespace microvmi::test {
namespace {

TEST(HarnessTest, AGuestStartsAnswersAndIsGone) {
  MICROVMI_NEEDS_QEMU();
  pid_t pid = -1;
  std::filesystem::path folder;
  {
    const auto guest = QemuGuest::start({.memory = "64M", .started = false});
    ASSERT_TRUE(guest) << guest.error();
    pid = (*guest)->pid();
    folder = (*guest)->folder();
    EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
    const auto running = (*guest)->running();
    ASSERT_TRUE(running) << running.error();
    EXPECT_FALSE(*running) << "it was started with -S";
    ASSERT_TRUE((*guest)->cont());
    EXPECT_TRUE((*guest)->running().value_or(false));
    ASSERT_TRUE((*guest)->stop());
    EXPECT_THAT((*guest)->truth().human("info mtree -f").value_or(""),
                testing::HasSubstr("pc.ram"));
    const auto bytes = (*guest)->memory(0, 8192);
    ASSERT_TRUE(bytes) << bytes.error();
    EXPECT_EQ(bytes->size(), 8192U);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST(HarnessTest, TheUsersMonitorIsFreeWhileTheTruthIsConnected) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M", .name = "own,,name", .started = false});
  ASSERT_TRUE(guest) << guest.error();
  auto other = QmpTruth::connect((*guest)->qmp_path());
  ASSERT_TRUE(other) << other.error();
  const auto name = other->execute("query-name");
  ASSERT_TRUE(name) << name.error();
  EXPECT_EQ((*name)["name"], "own,name");
}

TEST(HarnessTest, AQemuThatDoesNotStartSaysWhy) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.machine = "no-such-machine"});
  ASSERT_FALSE(guest);
  EXPECT_THAT(guest.error(), testing::HasSubstr("unsupported machine type"));
}

TEST(HarnessTest, EveryBackendStarts) {
  MICROVMI_NEEDS_QEMU();
  for (const auto backend : {RamBackend::anonymous, RamBackend::ram, RamBackend::memfd,
                             RamBackend::file, RamBackend::file_private, RamBackend::mem_path}) {
    const auto guest = QemuGuest::start({.memory = "64M", .backend = backend, .started = false});
    ASSERT_TRUE(guest) << name_of(backend) << ": " << guest.error();
  }
}

TEST(HarnessTest, ADimmIsPlugged) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M,slots=2,maxmem=1G", .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const auto plugged = (*guest)->plug_dimm("dimm0", 128ULL << 20);
  ASSERT_TRUE(plugged) << plugged.error();
  EXPECT_THAT((*guest)->truth().human("info memory-devices").value_or(""),
              testing::HasSubstr("dimm0"));
}

}  // namespace
}  // namespace microvmi::test
