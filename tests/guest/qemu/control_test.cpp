// SPDX-License-Identifier: Apache-2.0
// Run control of live guests: through the monitor, without it, and with others at it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "guest/qemu/driver.hpp"
#include "support/soon.hpp"

namespace microvmi {
namespace {

using namespace test;
using testing::HasSubstr;

TEST(QemuControlTest, AStoppedGuestStaysStopped) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M", .args = kWithStub});
  ASSERT_TRUE(guest) << guest.error();
  ASSERT_TRUE((*guest)->qemu().stop());
  {
    auto vm = open_driver((*guest)->qemu());
    ASSERT_TRUE(vm) << vm.error().message;
    EXPECT_EQ(vm->running().value(), false);
    ASSERT_TRUE(vm->pause());
    ASSERT_TRUE(vm->read_registers(VcpuId{0}));
    ASSERT_TRUE(vm->resume());
    Registers wanted;
    wanted.set(Reg::r9, 1);
    ASSERT_TRUE(vm->write_registers(VcpuId{0}, wanted)) << "through the stub";
    EXPECT_EQ((*guest)->qemu().running().value(), false);
  }
  EXPECT_EQ((*guest)->qemu().running().value(), false);
}

TEST(QemuControlTest, AMonitorThatAnotherHoldsIsWorkedAround) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M", .args = kWithStub});
  ASSERT_TRUE(guest) << guest.error();
  auto holder = QmpTruth::connect((*guest)->qemu().qmp_path());
  ASSERT_TRUE(holder);
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(vm->running().value(), true);
  EXPECT_EQ((*guest)->qemu().running().value(), true) << "asking left it stopped";
  ASSERT_TRUE(vm->pause());
  EXPECT_EQ((*guest)->qemu().running().value(), false);
  const auto regs = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(regs) << to_text(regs.error());
  expect_registers(*regs, (*guest)->truth());
  EXPECT_TRUE((*regs)[Reg::cr8]);
  ASSERT_TRUE(vm->resume());
  EXPECT_EQ((*guest)->qemu().running().value(), true);
  ASSERT_TRUE(vm->pause());
  vm = std::unexpected(InitError{});
  EXPECT_EQ((*guest)->qemu().running().value(), true) << "closing restores it";
}

TEST(QemuControlTest, WithoutAStubItIsToldWhoHoldsTheMonitor) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M"});
  ASSERT_TRUE(guest) << guest.error();
  auto holder = QmpTruth::connect((*guest)->qemu().qmp_path());
  ASSERT_TRUE(holder);
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm) << vm.error().message;
  const auto paused = vm->pause();
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().code, Errc::busy);
  EXPECT_THAT(paused.error().message, HasSubstr("process " + std::to_string(::getpid())));
  holder->close();
  EXPECT_TRUE(vm->pause()) << "it is free again";
}

TEST(QemuControlTest, AStubThatAnotherHoldsIsLeftAlone) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M", .args = kWithStub});
  ASSERT_TRUE(guest) << guest.error();
  auto debugger = open_driver((*guest)->qemu());
  auto holder = QmpTruth::connect((*guest)->qemu().qmp_path());
  ASSERT_TRUE(debugger && holder);
  ASSERT_TRUE(debugger->pause()) << "through the stub";
  auto other = open_driver((*guest)->qemu());
  ASSERT_TRUE(other);
  const auto regs = other->read_registers(VcpuId{0});
  ASSERT_FALSE(regs);
  EXPECT_EQ(regs.error().code, Errc::busy);
  EXPECT_THAT(regs.error().message, HasSubstr("process " + std::to_string(::getpid())));
  ASSERT_TRUE(debugger->resume());
  EXPECT_TRUE(runs(*other, **guest)) << "a connection that waited would have stopped it";
}

TEST(QemuControlTest, AnotherArchitectureHasMemoryAndRunControl) {
  MICROVMI_NEEDS_QEMU();
  const auto program = find_program("qemu-system-aarch64");
  if (!program) GTEST_SKIP() << "qemu-system-aarch64 is not installed";
  const auto guest =
      QemuGuest::start({.machine = "virt", .memory = "64M", .started = false, .program = *program});
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_driver(**guest);
  ASSERT_TRUE(vm) << vm.error().message;
  const auto registers = vm->read_registers(VcpuId{0});
  EXPECT_EQ(registers.error().code, Errc::not_supported);
  EXPECT_EQ(registers.error().hint, "registers and events are those of x86 alone");
  EXPECT_EQ(vm->running().value(), false);
  EXPECT_TRUE(vm->memory().read_value<std::uint64_t>(vm->memory().map()->regions.front().gpa));
}

// As libvirt does it: the command line has a number where the path would be.
TEST(QemuControlTest, AMonitorOnAPassedDescriptorIsFound) {
  MICROVMI_NEEDS_TINY_GUEST();
  const TempFolder folder;
  const std::string path = folder.path() / "monitor.sock";
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  const auto guest = TinyGuest::boot(
      {.memory = "64M",
       .monitor = Monitor::none,
       .args = {"-chardev",
                "socket,id=charmonitor,fd=" + std::to_string(listener) + ",server=on,wait=off",
                "-mon", "chardev=charmonitor,id=monitor,mode=control"}});
  ::close(listener);
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE(vm->pause());
  EXPECT_EQ((*guest)->qemu().running().value(), false);
  const auto regs = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(regs) << to_text(regs.error());
  expect_registers(*regs, (*guest)->truth());
  ASSERT_TRUE(vm->resume());
  EXPECT_TRUE(runs(*vm, **guest));
}

TEST(QemuControlTest, AQemuThatDiesIsDisconnected) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M", .args = kWithStub});
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_driver((*guest)->qemu());
  ASSERT_TRUE(vm);
  ASSERT_TRUE(vm->pause());
  ASSERT_TRUE(vm->read_registers(VcpuId{0})) << "attaches to the stub";
  (*guest)->qemu().kill();
  EXPECT_EQ(vm->read_registers(VcpuId{0}).error().code, Errc::disconnected);
  EXPECT_EQ(vm->resume().error().code, Errc::disconnected);
  EXPECT_EQ(vm->memory().read_value<int>(Gpa{0}).error().code, Errc::disconnected);
}

void hang(QemuGuest& qemu) { ASSERT_EQ(::kill(qemu.pid(), SIGSTOP), 0); }

// Seen again and again: a stop that is still on its way would come within that time.
bool runs_on(QemuGuest& qemu) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(50);
  int seen = 0;
  while (seen < 20 && std::chrono::steady_clock::now() < end) {
    seen = qemu.running().value_or(false) ? seen + 1 : 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return seen == 20;
}

// After `work`, which makes QEMU hang, the guest is closed; then QEMU goes on.
void expect_guarded(const std::function<void(Vm& vm, QemuGuest& qemu)>& work) {
  const auto guest = TinyGuest::boot({.memory = "64M", .args = kWithStub});
  ASSERT_TRUE(guest) << guest.error();
  QemuGuest& qemu = (*guest)->qemu();
  QemuInitParams params{.timeout = std::chrono::milliseconds(1000)};
  params.pid = *Pid::of(static_cast<std::uint32_t>(qemu.pid()));
  const InitOptions options{.guard = GuardOptions{.helper = MICROVMI_GUARD}};
  {
    auto vm = init(DriverType::qemu, DriverInitParams{.qemu = params}, options);
    ASSERT_TRUE(vm) << vm.error().message;
    work(*vm, qemu);
  }
  ASSERT_EQ(::kill(qemu.pid(), SIGCONT), 0);
  EXPECT_TRUE(runs_on(qemu)) << "it stands still";
}

constexpr Breakpoint::Filter kSomewhere{Gva{0x1234}};

// QEMU has one of that label as long as it has a stub.
bool has_stub(QemuGuest& qemu) {
  const auto said = qemu.truth().human("info chardev");
  EXPECT_TRUE(said) << said.error();
  return said && said->find("gdb:") != std::string::npos;
}

// Another client has the monitor while the guest is closed.
TEST(QemuControlTest, AStubThatClosingCannotEndTheGuardEnds) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest = TinyGuest::boot({.memory = "64M"});
  ASSERT_TRUE(guest) << guest.error();
  QemuGuest& qemu = (*guest)->qemu();
  auto holder = Outcome<QmpTruth>(std::unexpect, "");
  {
    QemuInitParams params{.timeout = std::chrono::milliseconds(1000)};
    params.pid = *Pid::of(static_cast<std::uint32_t>(qemu.pid()));
    const InitOptions options{.guard = GuardOptions{.helper = MICROVMI_GUARD}};
    auto vm = init(DriverType::qemu, DriverInitParams{.qemu = params}, options);
    ASSERT_TRUE(vm) << vm.error().message;
    const auto asked = vm->intercept(VcpuId{0}, kSomewhere);
    ASSERT_TRUE(asked) << to_text(asked.error());
    // The guest has just begun to run: an event may come before the greeting.
    ASSERT_TRUE(soon([&] { return (holder = QmpTruth::connect(qemu.qmp_path())).has_value(); }))
        << holder.error();
  }
  EXPECT_TRUE(has_stub(qemu)) << "who had the monitor was passed over";
  holder->close();
  EXPECT_TRUE(soon([&qemu] { return !has_stub(qemu); })) << "it is left";
  EXPECT_TRUE(runs_on(qemu)) << "it stands still";
}

// A QEMU that does not answer while it is closed takes what was sent when it goes on: a stop.
TEST(QemuControlTest, WhatClosingCannotSetRightTheGuardDoes) {
  MICROVMI_NEEDS_TINY_GUEST();
  expect_guarded([](Vm& vm, QemuGuest& qemu) {
    const auto asked = vm.intercept(VcpuId{0}, kSomewhere);
    ASSERT_TRUE(asked) << to_text(asked.error());
    hang(qemu);
  });
}

// One that hangs takes the connection when it goes on, and stops the guest for nobody.
TEST(QemuControlTest, AnAttachThatFailsHalfWayIsSetRightByTheGuard) {
  MICROVMI_NEEDS_TINY_GUEST();
  expect_guarded([](Vm& vm, QemuGuest& qemu) {
    hang(qemu);
    EXPECT_FALSE(vm.intercept(VcpuId{0}, kSomewhere));
  });
}

}  // namespace
}  // namespace microvmi
