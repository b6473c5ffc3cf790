// SPDX-License-Identifier: Apache-2.0
// The same driver on a guest that KVM runs. A small guest that stamps little: some hosts emulate
// each instruction of a nested guest.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guest/qemu/driver.hpp"

namespace microvmi {
namespace {

using namespace test;
using namespace std::chrono_literals;

const auto kPatience = 60s;

class KvmGuestTest : public testing::Test {
 protected:
  void SetUp() override {
    MICROVMI_NEEDS_TINY_GUEST();
    const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) GTEST_SKIP() << "cannot open /dev/kvm: " << std::strerror(errno);
    ::close(kvm);
    auto guest =
        TinyGuest::boot({.accelerator = "kvm", .memory = "16M"},
                        {.stride = 65536, .patience = std::chrono::milliseconds(kPatience)});
    ASSERT_TRUE(guest) << guest.error();
    guest_ = *std::move(guest);
    auto vm = open_driver(guest_->qemu());
    ASSERT_TRUE(vm) << vm.error().message;
    vm_.emplace(*std::move(vm));
  }

  // The same guest through the kvm connector, which knows nothing of QEMU.
  [[nodiscard]] Opened open_connector(Intrusive intrusive) {
    const KvmConnectorParams params{
        .pid = *Pid::of(static_cast<std::uint32_t>(guest_->qemu().pid())), .intrusive = intrusive};
    return init(DriverType::memflow,
                DriverInitParams{.memflow = MemflowInitParams{.args = ConnectorArgs(params)}});
  }

  // `rounds` hits of this breakpoint, and none more.
  void expect_hits(Breakpoint::Kind kind, unsigned rounds) {
    const Gva here{guest_->truth().hot_point};
    const Breakpoint::Filter filter{here, kind};
    const auto asked = vm_->intercept(kEveryVcpu, filter);
    ASSERT_TRUE(asked) << to_text(asked.error());
    ASSERT_TRUE(guest_->qemu().type("hot 1 " + std::to_string(rounds) + "\n"));
    for (unsigned i = 0; i < rounds; ++i) {
      auto event = vm_->next_event(Wait::at_most(kPatience));
      if (!event && kind == Breakpoint::Kind::software && i == 0 &&
          event.error().message.contains("internal error"))
        GTEST_SKIP() << "KVM of this host cannot run INT3 in a guest: " << to_text(event.error());
      ASSERT_TRUE(event) << to_text(event.error()) << " after " << i;
      auto* const hit = std::get_if<Caught<Breakpoint>>(&*event);
      ASSERT_TRUE(hit);
      ASSERT_EQ(hit->registers()[Reg::rip], to_integer(here));
      const auto counted = vm_->memory().read_value<std::uint64_t>(Gpa{guest_->truth().hot_counts});
      ASSERT_EQ(counted.value_or(0), i) << "the guest counts after each hit";
      ASSERT_TRUE(hit->reply(Proceed{}));
    }
    EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
    EXPECT_TRUE(guest_->qemu().wait_for_line("^hot ", kPatience));
    ASSERT_TRUE(vm_->release(kEveryVcpu, filter));
    EXPECT_TRUE(runs(*vm_, *guest_));
  }

  std::unique_ptr<TinyGuest> guest_;
  std::optional<Vm> vm_;
};

TEST_F(KvmGuestTest, RegistersAreThoseThatTheGuestPrinted) {
  const auto regs = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(regs) << to_text(regs.error());
  EXPECT_GT(regs->known().count(), 50U);
  expect_registers(*regs, guest_->truth());
  EXPECT_TRUE(runs(*vm_, *guest_)) << "reading stopped it";
}

TEST_F(KvmGuestTest, ModelSpecificRegistersByInjection) {
  const Pid pid = *Pid::of(static_cast<std::uint32_t>(guest_->qemu().pid()));
  const KvmConnectorParams kvm{.pid = pid, .intrusive = Intrusive::inject};
  auto vm = init(DriverType::qemu,
                 DriverInitParams{.qemu = QemuInitParams{.pid = pid},
                                  .memflow = MemflowInitParams{.args = ConnectorArgs(kvm)}});
  ASSERT_TRUE(vm) << vm.error().message;
  const auto plain = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(plain) << to_text(plain.error());
  EXPECT_FALSE((*plain)[Reg::lstar]) << "QEMU's monitor does not tell it";
  const auto regs = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(regs) << to_text(regs.error());
  for (const Reg reg : {Reg::lstar, Reg::star, Reg::kernel_gs_base, Reg::pat})
    EXPECT_TRUE((*regs)[reg]) << static_cast<int>(reg);
  expect_registers(*regs, guest_->truth());
  EXPECT_TRUE(runs(*vm, *guest_));
  ASSERT_TRUE(vm->pause());
  const auto paused = vm->read_registers(VcpuId{0});
  ASSERT_TRUE(paused) << to_text(paused.error());
  EXPECT_FALSE((*paused)[Reg::lstar]) << "QEMU holds its threads, which are left alone";
  ASSERT_TRUE(vm->resume());
  EXPECT_TRUE(runs(*vm, *guest_));
}

TEST_F(KvmGuestTest, TheConnectorReadsWhatTheGuestPrinted) {
  for (const Intrusive intrusive : {Intrusive::sync_regs, Intrusive::inject}) {
    auto vm = open_connector(intrusive);
    if (!vm) GTEST_SKIP() << vm.error().message;
    for (int i = 0; i < 20; ++i) {
      const auto regs = vm->read_registers(VcpuId{0});
      ASSERT_TRUE(regs) << to_text(regs.error());
      expect_registers(*regs, guest_->truth());
    }
    EXPECT_TRUE(runs(*vm, *guest_));
    ASSERT_TRUE(vm->pause());
    const auto before = counter_of(*vm, *guest_);
    const auto regs = vm->read_registers(VcpuId{0});
    ASSERT_TRUE(regs) << to_text(regs.error());
    EXPECT_GE((*regs)[Reg::rip], guest_->truth().loop_start);
    EXPECT_LE((*regs)[Reg::rip], guest_->truth().loop_end);
    EXPECT_EQ(counter_of(*vm, *guest_), before);
    ASSERT_TRUE(vm->resume());
    EXPECT_TRUE(runs(*vm, *guest_));
  }
}

TEST_F(KvmGuestTest, TheConnectorWritesAndTellsWrittenPages) {
  auto vm = open_connector(Intrusive::inject);
  if (!vm) GTEST_SKIP() << vm.error().message;
  Registers wanted;
  wanted.set(Reg::lstar, 0xFFFF'FFFF'8100'0000);
  ASSERT_TRUE(vm->write_registers(VcpuId{0}, wanted));
  EXPECT_EQ((*vm->read_registers(VcpuId{0}))[Reg::lstar], *wanted[Reg::lstar]);
  const auto pages = vm->dirty_pages();
  if (!pages) GTEST_SKIP() << to_text(pages.error());
  ASSERT_TRUE((*pages)->begin());
  EXPECT_TRUE(runs(*vm, *guest_));
  const auto written = (*pages)->take();
  ASSERT_TRUE(written) << to_text(written.error());
  const Gpa counter{guest_->truth().counter};
  EXPECT_TRUE(std::ranges::any_of(*written, [&](const PageRange& one) {
    return one.gpa <= counter && counter < one.gpa + one.size;
  }));
  EXPECT_TRUE(runs(*vm, *guest_));
}

TEST_F(KvmGuestTest, PausesAndGoesOn) {
  ASSERT_TRUE(vm_->pause());
  const auto before = counter_of(*vm_, *guest_);
  const auto regs = vm_->read_registers(VcpuId{0});
  ASSERT_TRUE(regs) << to_text(regs.error());
  EXPECT_GE((*regs)[Reg::rip], guest_->truth().loop_start);
  EXPECT_LE((*regs)[Reg::rip], guest_->truth().loop_end);
  EXPECT_EQ(counter_of(*vm_, *guest_), before);
  ASSERT_TRUE(vm_->resume());
  EXPECT_TRUE(runs(*vm_, *guest_));
}

TEST_F(KvmGuestTest, SoftwareBreakpointsAreAllTold) {
  expect_hits(Breakpoint::Kind::software, 100);
}

TEST_F(KvmGuestTest, HardwareBreakpointsAreAllTold) {
  expect_hits(Breakpoint::Kind::hardware, 100);
}

}  // namespace
}  // namespace microvmi
