// SPDX-License-Identifier: Apache-2.0
// Several vCPUs that hit watchpoints or end steps at the same moments, against what each counted
// itself.
#include <array>
#include <functional>
#include <map>

#include "guest/qemu/events_guest.hpp"

namespace microvmi {
namespace {

using namespace test;
using namespace std::chrono_literals;

constexpr std::uint32_t kApart = 64;  // bytes from one vCPU's counter to the next
constexpr unsigned kMost = 8;         // counters that the guest clears before it counts

class SeveralVcpusTest : public EventsTest {
 public:
  [[nodiscard]] Gva counter(unsigned vcpu) const {
    return Gva{guest_->truth().hot_counts + kApart * vcpu};
  }

  // Each event must be the write that its vCPU counted just before; `between` is done before it is
  // taken.
  void expect_writes(
      unsigned vcpus, unsigned cleared, unsigned rounds,
      const std::function<void()>& between = [] {}) {
    std::array<unsigned, kMost> hits{};
    unsigned clears = 0;
    const unsigned total = cleared + vcpus * rounds;
    for (unsigned i = 0; i < total; ++i) {
      between();
      auto event = vm_->next_event(Wait::at_most(kPatience));
      ASSERT_TRUE(event) << to_text(event.error()) << " after " << i << " of " << total;
      ASSERT_TRUE(std::holds_alternative<Caught<Watchpoint>>(*event));
      const auto vcpu = to_integer(vcpu_of(*event));
      ASSERT_LT(vcpu, vcpus);
      if (clears < cleared) {
        ++clears;
        ASSERT_EQ(vcpu, 0U) << "which clears the counters";
      } else {
        ASSERT_EQ(count(vcpu), ++hits[vcpu]) << "of vcpu " << vcpu;
      }
    }
    EXPECT_EQ(vm_->next_event(Wait::at_most(300ms)).error().code, Errc::timed_out);
  }
};

TEST_F(SeveralVcpusTest, NoWriteOfSeveralVcpusIsLostOrDoubled) {
  MICROVMI_NEEDS_TINY_GUEST();
  constexpr unsigned kVcpus = 4;
  boot(kVcpus);
  if (HasFatalFailure()) return;
  const auto asked =
      vm_->intercept(kEveryVcpu, Watchpoint::Filter{counter(0), kApart * kVcpus, {.write = true}});
  ASSERT_TRUE(asked) << to_text(asked.error());
  start_loop(kVcpus, 500);
  expect_writes(kVcpus, kVcpus, 500);
  EXPECT_EQ(hot_line(), "hot 0x1f4 0x1f4 0x1f4 0x1f4");
}

TEST_F(SeveralVcpusTest, EachVcpuHitsAWatchpointOfItsOwn) {
  MICROVMI_NEEDS_TINY_GUEST();
  constexpr unsigned kVcpus = 2;
  boot(kVcpus, "q35");
  if (HasFatalFailure()) return;
  for (unsigned vcpu = 0; vcpu < kVcpus; ++vcpu) {
    // vCPU 0 reads all counters in the end.
    const Access access{.read = vcpu != 0, .write = true};
    const auto asked = vm_->intercept(VcpuId{vcpu}, Watchpoint::Filter{counter(vcpu), 8, access});
    ASSERT_TRUE(asked) << to_text(asked.error());
  }
  start_loop(kVcpus, 300);
  // Adding one reads and writes: one instruction, one event. Only vCPU 0 clears, and only its own
  // is watched on it.
  expect_writes(kVcpus, 1, 300);
  EXPECT_EQ(hot_line(), "hot 0x12c 0x12c 0x0 0x0");
}

TEST_F(SeveralVcpusTest, StoppingTheGuestInBetweenLosesNone) {
  MICROVMI_NEEDS_TINY_GUEST();
  constexpr unsigned kVcpus = 2;
  boot(kVcpus);
  if (HasFatalFailure()) return;
  ASSERT_TRUE(
      vm_->intercept(kEveryVcpu, Watchpoint::Filter{counter(0), kApart * kVcpus, {.write = true}}));
  start_loop(kVcpus, 200);
  expect_writes(kVcpus, kVcpus, 200, [this] {
    ASSERT_TRUE(vm_->pause());
    ASSERT_TRUE(vm_->resume());
  });
  EXPECT_EQ(hot_line(), "hot 0xc8 0xc8 0x0 0x0");
}

TEST_F(SeveralVcpusTest, AnotherWatchpointIsNotToldOfWhatTheOldOneSaw) {
  MICROVMI_NEEDS_TINY_GUEST();
  constexpr unsigned kVcpus = 4;
  boot(kVcpus);
  if (HasFatalFailure()) return;
  const Gva text{guest_->truth().text};  // which nobody writes to
  const Watchpoint::Filter busy{counter(0), kApart * kVcpus, {.write = true}};
  const Watchpoint::Filter quiet{text, 8, {.write = true}};
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, Watchpoint::Filter{text + 64, 8, {.write = true}}));
  start_loop(kVcpus, 1'000'000'000);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(vm_->intercept(kEveryVcpu, busy));
    {
      auto event = vm_->next_event(Wait::at_most(kPatience));
      ASSERT_TRUE(event) << to_text(event.error());
      ASSERT_TRUE(vm_->release(kEveryVcpu, busy));
      ASSERT_TRUE(vm_->intercept(kEveryVcpu, quiet));
    }
    const auto none = vm_->next_event(Wait::at_most(20ms));
    ASSERT_FALSE(none);
    ASSERT_EQ(none.error().code, Errc::timed_out);
    ASSERT_TRUE(vm_->release(kEveryVcpu, quiet));
  }
}

// The loop is inc (%rdi); pause; dec %rsi; jnz. QEMU's TCG makes one step of PAUSE and what
// follows, unless another vCPU stops it in between.
bool follows(std::uint64_t before, std::uint64_t now) {
  const std::map<std::uint64_t, std::uint64_t> next{{0, 3}, {3, 5}, {5, 8}, {8, 0}};
  return next.at(before) == now || (before == 3 && now == 8);
}

TEST_F(SeveralVcpusTest, NoStepOfSeveralVcpusIsLostOrDoubled) {
  MICROVMI_NEEDS_TINY_GUEST();
  constexpr unsigned kVcpus = 4;
  boot(kVcpus);
  if (HasFatalFailure()) return;
  start_loop(kVcpus, 1'000'000'000);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (unsigned vcpu = 0; vcpu < kVcpus; ++vcpu)
    while (count(vcpu) == 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(1ms);
  ASSERT_TRUE(vm_->intercept(kEveryVcpu, SingleStep::Filter{}));
  std::array<std::optional<std::uint64_t>, kVcpus> at;
  std::array<std::uint64_t, kVcpus> counted{};
  for (int i = 0; i < 1000; ++i) {
    auto event = vm_->next_event(Wait::at_most(kPatience));
    ASSERT_TRUE(event) << to_text(event.error()) << " after " << i;
    ASSERT_TRUE(std::holds_alternative<Caught<SingleStep>>(*event));
    const auto vcpu = to_integer(vcpu_of(*event));
    const auto rip = registers_of(*event)[Reg::rip].value_or(0) - to_integer(hot_point());
    if (at[vcpu]) {
      ASSERT_TRUE(follows(*at[vcpu], rip))
          << "vcpu " << vcpu << " from " << *at[vcpu] << " to " << rip << " after " << i;
      ASSERT_EQ(count(vcpu), counted[vcpu] + (rip == 3 ? 1 : 0));
    }
    at[vcpu] = rip;
    counted[vcpu] = count(vcpu);
  }
}

}  // namespace
}  // namespace microvmi
