// SPDX-License-Identifier: Apache-2.0
// Which connectors memflow tries, in which order and for how long: with four fake ones.
#include "driver/memflow/selection.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "support/fake_guest.hpp"

namespace microvmi::memflow {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Fake {
  Expected<Readiness> probe = fail(Errc::not_found, "nothing to open");
  Errc open = Errc::none;
  bool hangs = false;  // until its wait is over
};
// Registry rows are plain functions, so this is all they can see.
struct Script {
  std::array<Fake, 4> fakes{};
  std::vector<std::string> calls{};
  std::vector<Wait> waits{};
};
Script script;  // NOLINT(readability-identifier-naming): one a process is enough

template <Connector connector>
Expected<Readiness> probe(const DriverInitParams&) {
  script.calls.push_back(std::string("probe ") +
                         kConnectorNames[static_cast<std::size_t>(connector)]);
  return script.fakes[static_cast<std::size_t>(connector)].probe;
}

template <Connector connector>
Expected<std::unique_ptr<Driver>> open(const DriverInitParams&, const InitOptions& options) {
  script.calls.push_back(std::string("open ") +
                         kConnectorNames[static_cast<std::size_t>(connector)]);
  script.waits.push_back(options.wait);
  const Fake& fake = script.fakes[static_cast<std::size_t>(connector)];
  while (fake.hangs) {
    if (const Errc over = options.wait.over(); over != Errc::none) return fail(over, "it hangs");
    std::this_thread::sleep_for(1ms);
  }
  if (fake.open != Errc::none) return fail(fake.open, "it cannot be read");
  return std::make_unique<test::FakeGuest>(std::make_shared<test::FakeState>());
}

template <Connector connector>
constexpr ConnectorInfo row() {
  return {.type = connector, .summary = "fake", .probe = probe<connector>, .open = open<connector>};
}

constexpr std::array<ConnectorInfo, 4> kFakes{row<Connector::qemu_procfs>(), row<Connector::kvm>(),
                                              row<Connector::pcileech>(),
                                              row<Connector::coredump>()};

class MemflowSelectionTest : public testing::Test {
 protected:
  MemflowSelectionTest() { script = {}; }

  static Fake& fake(Connector connector) {
    return script.fakes[static_cast<std::size_t>(connector)];
  }

  Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params = {},
                                         const Wait& wait = {}) {
    const InitOptions options{.wait = wait,
                              .log = [this](std::string_view line) { log_.emplace_back(line); }};
    return open_first(select(kFakes, params), params, options);
  }

  std::vector<std::string> log_;
};

TEST_F(MemflowSelectionTest, WithoutANameAllAreTriedInOrderAndNoDeviceIsTouched) {
  for (Fake& one : script.fakes) one.probe = Readiness{};
  for (Fake& one : script.fakes) one.open = Errc::io;
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_THAT(script.calls, ElementsAre("probe qemu-procfs", "probe kvm", "probe coredump",
                                        "open qemu-procfs", "open kvm", "open coredump"));
  EXPECT_EQ(opened.error().message,
            "no connector could open a guest\n"
            "    qemu-procfs: io: it cannot be read\n"
            "    kvm: io: it cannot be read\n"
            "    coredump: io: it cannot be read\n"
            "    pcileech: not_applicable: none of its own parameters is given");
}

TEST_F(MemflowSelectionTest, TheOneThatOpensIsNamedAndTheReasonsBeforeItAreLogged) {
  fake(Connector::qemu_procfs).probe = Readiness{};
  fake(Connector::qemu_procfs).open = Errc::permission_denied;
  fake(Connector::kvm).probe = Readiness{};
  ASSERT_TRUE(open());
  EXPECT_THAT(log_, ElementsAre("memflow: qemu-procfs: permission_denied: it cannot be read",
                                "memflow: opened by kvm"));
}

TEST_F(MemflowSelectionTest, ReadyOnesComeBeforeThoseThatWait) {
  fake(Connector::qemu_procfs).probe = Readiness{.ready = false, .note = "waits"};
  fake(Connector::coredump).probe = Readiness{};
  ASSERT_TRUE(open());
  EXPECT_THAT(log_, ElementsAre("memflow: opened by coredump"));
}

TEST_F(MemflowSelectionTest, ReasonsStandInTheOrderOfTrialWhicheverStageTheyAreFrom) {
  fake(Connector::kvm).probe = Readiness{};
  fake(Connector::kvm).open = Errc::permission_denied;
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message,
            "no connector could open a guest\n"
            "    qemu-procfs: not_found: nothing to open\n"
            "    kvm: permission_denied: it cannot be read\n"
            "    coredump: not_found: nothing to open\n"
            "    pcileech: not_applicable: none of its own parameters is given");
}

TEST_F(MemflowSelectionTest, OneThatHangsLeavesTimeForTheOthers) {
  for (Fake& one : script.fakes) one.probe = Readiness{};
  fake(Connector::qemu_procfs).hangs = true;
  fake(Connector::kvm).hangs = true;
  ASSERT_TRUE(open({}, Wait::at_most(1500ms)));
  EXPECT_THAT(script.calls, testing::Contains("open coredump"));
  EXPECT_THAT(log_, ElementsAre(HasSubstr("timed_out"), HasSubstr("timed_out"),
                                "memflow: opened by coredump"));
}

TEST_F(MemflowSelectionTest, WithoutADeadlineEachHasOne) {
  fake(Connector::qemu_procfs).probe = Readiness{};
  fake(Connector::kvm).probe = Readiness{};
  fake(Connector::qemu_procfs).open = Errc::io;
  ASSERT_TRUE(open());
  ASSERT_EQ(script.waits.size(), 2U);
  for (const Wait& one : script.waits) EXPECT_LE(one.deadline, Wait::Clock::now() + 30s);
}

TEST_F(MemflowSelectionTest, OneThatIsNamedHasAllTheTime) {
  fake(Connector::pcileech).probe = Readiness{};
  const auto deadline = Wait::Clock::now() + 1h;
  for (const MemflowInitParams& named : {MemflowInitParams{.connector = Connector::pcileech},
                                         MemflowInitParams{.args = PcileechParams{}}}) {
    script.calls.clear();
    ASSERT_TRUE(open({.memflow = named}, {.deadline = deadline}));
    EXPECT_THAT(script.calls, ElementsAre("probe pcileech", "open pcileech"));
    EXPECT_EQ(script.waits.back().deadline, deadline);
  }
}

TEST_F(MemflowSelectionTest, WhatIsCancelledTriesNoOther) {
  for (Fake& one : script.fakes) one.probe = Readiness{};
  std::stop_source stop;
  stop.request_stop();
  const auto opened = open({}, {.stop = stop.get_token()});
  ASSERT_FALSE(opened);
  EXPECT_THAT(script.waits, IsEmpty());
  EXPECT_THAT(opened.error().message, HasSubstr("coredump: cancelled: was not tried any more"));
}

}  // namespace
}  // namespace microvmi::memflow
