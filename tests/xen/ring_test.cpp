// SPDX-License-Identifier: Apache-2.0
// The event ring at its edges: not taken unasked, given back, taken over from a program that was
// killed, and ended by a guest that goes away.
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "xen/open.hpp"

namespace microvmi::test::xen {
namespace {

using namespace std::chrono_literals;

class XenRingTest : public XenTest {
 protected:
  [[nodiscard]] static Expected<void> watch(Vm& vm) {
    return vm.intercept(VcpuId{0}, CrWrite::Filter{Reg::cr3});
  }
  [[nodiscard]] static bool told(Vm& vm) {
    const auto event = vm.next_event(Wait::at_most(60s));
    EXPECT_TRUE(event) << to_text(event.error());
    return event && std::holds_alternative<Caught<CrWrite>>(*event);
  }
};

TEST_F(XenRingTest, IsTakenByWhoAsksForEventsAlone) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  // The first one only reads and pauses, and is in nobody's way.
  std::array<std::byte, 16> bytes{};
  ASSERT_TRUE(memory().read(Gpa{0x200000}, bytes));
  ASSERT_TRUE(vm().pause());
  ASSERT_TRUE(vm().resume());
  auto second = open(domain());
  ASSERT_TRUE(second) << to_text(second.error());
  const auto asked = watch(*second);
  ASSERT_TRUE(asked) << to_text(asked.error());
  EXPECT_TRUE(told(*second));
  // While it has the ring, a third is told so.
  const auto late = watch(vm());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::busy) << to_text(late.error());
  EXPECT_TRUE(told(*second));
}

TEST_F(XenRingTest, IsGivenBackAtClose) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  for (int i = 0; i < 4; ++i) {
    const auto asked = watch(vm());
    ASSERT_TRUE(asked) << i << ": " << to_text(asked.error());
    EXPECT_TRUE(told(vm())) << i;
    ASSERT_NO_FATAL_FAILURE(reopen());
    EXPECT_TRUE(alive()) << i;
  }
}

TEST_F(XenRingTest, AnEventThatWaitsAtCloseIsAnswered) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  ASSERT_TRUE(watch(vm()));
  auto event = vm().next_event(Wait::at_most(60s));
  ASSERT_TRUE(event) << to_text(event.error());
  close();
  EXPECT_TRUE(alive());
  EXPECT_EQ(std::get<Caught<CrWrite>>(*event).reply(Proceed{}).error().code, Errc::disconnected);
}

TEST_F(XenRingTest, OfAProgramThatWasKilledIsTakenOver) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_another("left"));
  close();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto mine = open(domain());
    const bool good = mine && watch(*mine) && told(*mine);
    auto held = good ? mine->next_event(Wait::at_most(60s)) : fail(Errc::io, "");
    const char said = held ? 'y' : 'n';
    static_cast<void>(::write(pipe[1], &said, 1));
    for (;;) ::pause();
  }
  char said = 0;
  ASSERT_EQ(::read(pipe[0], &said, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
  ASSERT_EQ(said, 'y') << "the other program had no events";
  ASSERT_NO_FATAL_FAILURE(reopen());
  const auto asked = watch(vm());
  ASSERT_TRUE(asked) << to_text(asked.error());
  EXPECT_TRUE(told(vm()));
  EXPECT_TRUE(told(vm()));
  close();
  EXPECT_TRUE(alive()) << "a vCPU still waits for the dead program's answer";
}

TEST_F(XenRingTest, EndsWithItsGuest) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use_another("doomed"));
  ASSERT_TRUE(watch(vm()));
  EXPECT_TRUE(told(vm()));
  domain().destroy();
  const std::optional<Error> last = end_of_events();
  ASSERT_TRUE(last) << "it still tells of events";
  EXPECT_EQ(last->code, Errc::disconnected) << to_text(*last);
}

TEST_F(XenRingTest, AWaitEndsInTime) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  ASSERT_TRUE(vm().intercept(VcpuId{0}, MsrWrite::Filter{0x175}));  // which it does not write
  EXPECT_EQ(vm().next_event(Wait::at_most(200ms)).error().code, Errc::timed_out);
  EXPECT_TRUE(alive());
}

}  // namespace
}  // namespace microvmi::test::xen
