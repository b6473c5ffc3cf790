// SPDX-License-Identifier: Apache-2.0
// Choosing a guest, its memory, its monitor free or taken, plugged memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "unit/connector/qemu_procfs/live.hpp"

namespace microvmi {
namespace {

using test::fact;
using test::open_pid;
using test::open_with;
using test::pid_of;
using test::QemuGuest;
using test::QemuOptions;
using test::still_guest;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(QemuProcfsLiveTest, ByNameByPidAndByBoth) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("open me,, please"));
  ASSERT_TRUE(guest) << guest.error();
  const std::uint32_t pid = pid_of(**guest);
  const std::string name = "open me, please";
  const auto by_name = open_with({.vm_name = name});
  ASSERT_TRUE(by_name) << by_name.error().message;
  EXPECT_EQ(by_name->info().pid, pid);
  EXPECT_EQ(by_name->info().vm_name, name);
  EXPECT_EQ(by_name->info().connector, "qemu-procfs");
  EXPECT_TRUE(open_with({.vm_name = name, .pid = *Pid::of(pid)}));
  EXPECT_TRUE(
      init(DriverType::memflow, DriverInitParams{.common = CommonInitParams{.vm_name = name}}));
  EXPECT_TRUE(open_with({.vm_name = std::to_string(pid)})) << "as memflow's own connector takes it";
}

TEST(QemuProcfsLiveTest, AWrongNameOrPidIsRefusedWithTheReason) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("the right one"));
  ASSERT_TRUE(guest) << guest.error();
  const auto mismatch = open_with({.vm_name = "another", .pid = *Pid::of(pid_of(**guest))});
  ASSERT_FALSE(mismatch);
  EXPECT_THAT(mismatch.error().message, HasSubstr("is \"the right one\", not \"another\""));
  const auto unknown = open_with({.vm_name = "nobody has this name"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::not_found);
  EXPECT_THAT(unknown.error().message, HasSubstr("the right one"));
  const auto self = open_with({.pid = *Pid::of(static_cast<std::uint32_t>(::getpid()))});
  ASSERT_FALSE(self);
  EXPECT_THAT(self.error().message, HasSubstr("is no QEMU"));
}

TEST(QemuProcfsLiveTest, TwoOfOneNameAreListed) {
  MICROVMI_NEEDS_QEMU();
  const auto one = QemuGuest::start(still_guest("twins"));
  const auto two = QemuGuest::start(still_guest("twins"));
  ASSERT_TRUE(one && two);
  const auto vm = open_with({.vm_name = "twins"});
  ASSERT_FALSE(vm);
  EXPECT_THAT(vm.error().message, HasSubstr("2 guests have the name \"twins\""));
  EXPECT_THAT(vm.error().message, HasSubstr(std::to_string(pid_of(**one))));
  EXPECT_THAT(vm.error().message, HasSubstr(std::to_string(pid_of(**two))));
}

TEST(QemuProcfsLiveTest, WithoutParametersTheFirstIsTakenAndNamed) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("one of perhaps many"));
  ASSERT_TRUE(guest) << guest.error();
  std::string log;
  InitOptions options;
  options.log = [&](std::string_view line) { log += std::string(line) + '\n'; };
  const auto vm = init(
      DriverType::memflow,
      DriverInitParams{.memflow = MemflowInitParams{.connector = Connector::qemu_procfs}}, options);
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE(vm->info().pid);
  EXPECT_THAT(log, HasSubstr("taking the first, pid " + std::to_string(*vm->info().pid)));
}

TEST(QemuProcfsLiveTest, AFreeMonitorGivesLayoutAndRunControlAndIsNotKept) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("with a monitor", test::Monitor::relative));
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_pid(**guest);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(fact(vm->info(), "layout_source"), "qmp");
  EXPECT_EQ(fact(vm->info(), "run_state"), "prelaunch");
  EXPECT_EQ(fact(vm->info(), "accelerator"), "tcg");
  EXPECT_EQ(fact(vm->info(), "machine"), "pc");
  EXPECT_THAT(vm->capabilities(), Contains(Capability::run_control));
  auto other = test::QmpTruth::connect((*guest)->qmp_path());
  ASSERT_TRUE(other) << other.error();
  EXPECT_TRUE(other->execute("query-status")) << "nobody else has it while the guest is open";
  other->close();
  ASSERT_TRUE((*guest)->cont());
  ASSERT_TRUE(vm->pause());
  EXPECT_EQ((*guest)->running(), false);
  ASSERT_TRUE(vm->resume());
  EXPECT_EQ((*guest)->running(), true);
}

TEST(QemuProcfsLiveTest, ATakenMonitorLeavesTheCommandLine) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still_guest("monitor taken"));
  ASSERT_TRUE(guest) << guest.error();
  auto other = test::QmpTruth::connect((*guest)->qmp_path());
  ASSERT_TRUE(other) << other.error();
  const auto vm = open_pid(**guest);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(fact(vm->info(), "layout_source"), "command_line");
  EXPECT_THAT(fact(vm->info(), "note"), HasSubstr("busy"));
  EXPECT_THAT(vm->capabilities(), Not(Contains(Capability::run_control)));
  EXPECT_EQ(vm->end_of_memory(), Gpa{64U << 20U});
}

// libvirt makes the socket and hands it down, so that the command line has a number alone.
TEST(QemuProcfsLiveTest, AMonitorThatQemuInheritedIsFound) {
  MICROVMI_NEEDS_QEMU();
  const test::TempFolder folder;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder.path() / "monitor.sock";
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);  // inherited
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  QemuOptions options = still_guest("as libvirt does it", test::Monitor::none);
  options.args = {"-chardev", "socket,id=lv,fd=" + std::to_string(fd) + ",server=on,wait=off",
                  "-mon", "chardev=lv,mode=control"};
  const auto guest = QemuGuest::start(options);
  ::close(fd);
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid(**guest);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(fact(vm->info(), "layout_source"), "qmp") << fact(vm->info(), "note");
}

TEST(QemuProcfsLiveTest, WhatIsWrittenQemuSees) {
  MICROVMI_NEEDS_QEMU();
  for (const auto backend : {test::RamBackend::anonymous, test::RamBackend::memfd}) {
    QemuOptions options = still_guest("memory", test::Monitor::none);
    options.memory = "5G";
    options.machine = "q35";
    options.backend = backend;
    const auto guest = QemuGuest::start(options);
    ASSERT_TRUE(guest) << guest.error();
    auto vm = open_pid(**guest);
    ASSERT_TRUE(vm) << vm.error().message;
    EXPECT_EQ(fact(vm->info(), "memory_mode"),
              backend == test::RamBackend::memfd ? "view" : "copy");
    EXPECT_EQ(vm->end_of_memory(), Gpa{std::uint64_t{7} << 30U});
    for (const std::uint64_t gpa : {0x1000ULL, 0x7ffff000ULL, 0x100000000ULL, 0x1bffff000ULL}) {
      std::vector<std::byte> page(4096, std::byte{static_cast<unsigned char>(gpa >> 28U)});
      ASSERT_TRUE(vm->memory().write(Gpa{gpa}, page));
      EXPECT_EQ((*guest)->memory(gpa, page.size()), page) << std::hex << gpa;
    }
    std::array<std::byte, 8> beyond{};
    EXPECT_EQ(vm->memory().read(vm->end_of_memory(), beyond).error().code, Errc::hole);
    EXPECT_EQ(vm->memory().read(Gpa{0x80000000}, beyond).error().code, Errc::hole);
  }
}

TEST(QemuProcfsLiveTest, PluggedMemoryAppearsThroughTheMonitor) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still_guest("plugged");
  options.memory = "64M,slots=2,maxmem=1G";
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_pid(**guest);
  ASSERT_TRUE(vm) << vm.error().message;
  const auto before = vm->memory().map();
  EXPECT_TRUE(before->exact);
  ASSERT_TRUE((*guest)->plug_dimm("later", 128U << 20U));
  ASSERT_TRUE(vm->memory().refresh());
  const auto after = vm->memory().map();
  EXPECT_GT(after->generation, before->generation);
  EXPECT_EQ(after->end_of_memory(), Gpa{0x108000000});
  const std::vector<std::byte> page(4096, std::byte{0x5a});
  ASSERT_TRUE(vm->memory().write(Gpa{0x107fff000}, page));
  EXPECT_EQ((*guest)->memory(0x107fff000, page.size()), page);
}

TEST(QemuProcfsLiveTest, WithoutAMonitorAMapThatMayGrowIsNotExact) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still_guest("slots", test::Monitor::none);
  options.memory = "64M,slots=2,maxmem=1G";
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid(**guest);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_FALSE(vm->memory().map()->exact);
  EXPECT_THAT(fact(vm->info(), "note"), HasSubstr("plugged in"));
}

TEST(QemuProcfsLiveTest, BackendsThatCannotBeToldApartAreRefusedWithoutAMonitor) {
  MICROVMI_NEEDS_QEMU();
  for (const auto monitor : {test::Monitor::none, test::Monitor::absolute}) {
    QemuOptions options = still_guest("nodes", monitor);
    options.memory = "128M";
    options.args = {"-object", "memory-backend-ram,id=n0,size=64M",
                    "-object", "memory-backend-ram,id=n1,size=64M",
                    "-numa",   "node,memdev=n0",
                    "-numa",   "node,memdev=n1"};
    const auto guest = QemuGuest::start(options);
    ASSERT_TRUE(guest) << guest.error();
    const auto vm = open_pid(**guest);
    if (monitor != test::Monitor::none) {
      ASSERT_TRUE(vm) << vm.error().message;
      continue;
    }
    ASSERT_FALSE(vm);
    EXPECT_THAT(vm.error().message, HasSubstr("2 mappings could each be its memory \"n0\""));
    EXPECT_THAT(vm.error().message, HasSubstr("QMP"));
  }
}

TEST(QemuProcfsLiveTest, PlainCopiesAndGivenPlacesGiveTheSameMemory) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still_guest("given");
  options.backend = test::RamBackend::memfd;
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const Pid pid = *Pid::of(pid_of(**guest));
  const std::vector<std::byte> page(4096, std::byte{0x77});
  {
    auto vm = open_with({.pid = pid, .copy = GuestCopy::plain});
    ASSERT_TRUE(vm) << vm.error().message;
    EXPECT_EQ(fact(vm->info(), "memory_mode"), "copy");
    ASSERT_TRUE(vm->memory().write(Gpa{0x300000}, page));
    EXPECT_EQ((*guest)->memory(0x300000, page.size()), page);
  }
  const auto answer = (*guest)->truth().human("gpa2hva 0");
  ASSERT_TRUE(answer);
  const std::uint64_t base = std::stoull(answer->substr(answer->rfind("0x")), nullptr, 16);
  const param::ByteSize half{std::uint64_t{32} << 20U};
  auto vm = open_with({.pid = pid, .map_base = base, .map_size = half});
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(fact(vm->info(), "layout_source"), "map_base");
  EXPECT_EQ(vm->end_of_memory(), Gpa{half.bytes});
  std::vector<std::byte> got(page.size());
  ASSERT_TRUE(vm->memory().read(Gpa{0x300000}, got));
  EXPECT_EQ(got, page);
  const param::ByteSize more{std::uint64_t{1} << 40U};
  EXPECT_FALSE(open_with({.pid = pid, .map_base = base, .map_size = more}));
  EXPECT_FALSE(open_with({.pid = pid, .map_base = 0x1000, .map_size = half}));
}

TEST(QemuProcfsLiveTest, AnEncryptedGuestIsRefusedByName) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still_guest("secret");
  options.args = {"-object", "sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1"};
  const auto guest = QemuGuest::start(options);
  if (!guest) GTEST_SKIP() << "this QEMU has no sev-guest: " << guest.error();
  const auto vm = open_pid(**guest);
  ASSERT_FALSE(vm);
  EXPECT_THAT(vm.error().message, HasSubstr("encrypted (sev-guest)"));
}

}  // namespace
}  // namespace microvmi
