// SPDX-License-Identifier: Apache-2.0
// Run states in which a guest may be paused or set going, played by the test.
#include "qemu/run_control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace microvmi::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What QEMU would do, as far as run states go.
struct SimulatedQemu {
  std::string state = "running";
  bool obeys = true;
  std::vector<std::string> commands{};

  Expected<nlohmann::json> operator()(const Command& command) {
    if (command.name == "query-status")
      return nlohmann::json{{"status", state}, {"running", state == "running"}};
    commands.push_back(command.name);
    if (obeys) state = command.name == "stop" ? "paused" : "running";
    return nlohmann::json::object();
  }
};

QmpRunControl control_of(SimulatedQemu& qemu) {
  return QmpRunControl([&qemu](const Command& command) { return qemu(command); });
}

TEST(RunControlSimulatedTest, PauseAndResume) {
  SimulatedQemu qemu;
  QmpRunControl control = control_of(qemu);
  EXPECT_TRUE(*control.running());
  EXPECT_TRUE(control.pause());
  EXPECT_FALSE(*control.running());
  EXPECT_TRUE(control.pause());
  EXPECT_TRUE(control.resume());
  EXPECT_TRUE(control.resume());
  EXPECT_THAT(qemu.commands, ElementsAre("stop", "cont"));
}

TEST(RunControlSimulatedTest, StatesThatAreNotRunOnFrom) {
  for (const char* state :
       {"inmigrate", "finish-migrate", "restore-vm", "save-vm", "colo", "suspended", "postmigrate",
        "internal-error", "guest-panicked", "shutdown", "debug"}) {
    SimulatedQemu qemu{.state = state};
    QmpRunControl control = control_of(qemu);
    const auto done = control.resume();
    ASSERT_FALSE(done) << state;
    EXPECT_THAT(done.error().message, HasSubstr(state));
    EXPECT_TRUE(qemu.commands.empty()) << state;
  }
}

TEST(RunControlSimulatedTest, StatesThatStayStoppedNeedNoPause) {
  for (const char* state : {"paused", "prelaunch", "io-error", "watchdog", "postmigrate",
                            "internal-error", "guest-panicked", "shutdown", "debug"}) {
    SimulatedQemu qemu{.state = state};
    EXPECT_TRUE(control_of(qemu).pause()) << state;
    EXPECT_TRUE(qemu.commands.empty()) << state;
  }
  SimulatedQemu arriving{.state = "inmigrate"};
  EXPECT_EQ(control_of(arriving).pause().error().code, Errc::busy);
}

TEST(RunControlSimulatedTest, ACommandWithoutEffectIsAnError) {
  SimulatedQemu qemu{.state = "paused", .obeys = false};
  EXPECT_EQ(control_of(qemu).resume().error().code, Errc::io);
  qemu.state = "running";
  EXPECT_EQ(control_of(qemu).pause().error().code, Errc::io);
}

TEST(RunControlSimulatedTest, TheMonitorsErrorsComeThrough) {
  QmpRunControl control([](const Command&) -> Expected<nlohmann::json> {
    return fail(Errc::busy, "another client");
  });
  EXPECT_EQ(control.pause().error().code, Errc::busy);
  EXPECT_EQ(control.resume().error().code, Errc::busy);
  EXPECT_EQ(control.running().error().code, Errc::busy);
}

}  // namespace
}  // namespace microvmi::qemu
