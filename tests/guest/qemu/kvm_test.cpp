// SPDX-License-Identifier: Apache-2.0
// The same driver on a guest that KVM runs. A small guest that stamps little: some hosts emulate
// each instruction of a nested guest.
#include <fcntl.h>
#include <unistd.h>

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
