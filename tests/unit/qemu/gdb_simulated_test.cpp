// SPDX-License-Identifier: Apache-2.0
// GdbSession against stubs of our own that mean ill: none may keep it for ever.
#include <gtest/gtest.h>

#include <atomic>

#include "qemu/gdb_session.hpp"
#include "unit/qemu/fake_monitor.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using test::FakeLine;
using test::FakeMonitor;

// What the stub says to the questions of an attach, up to those for vCPUs.
std::string answer_to(const std::string& question, const std::string& threads) {
  if (question.starts_with("qSupported")) return "PacketSize=1000";
  if (question == "?") return "T05thread:01;";
  return question.ends_with("ThreadInfo") ? threads : "";
}

void answer(FakeLine& line, const std::string& threads, int most, std::chrono::milliseconds after) {
  for (int i = 0; i < most; ++i) {
    const std::string question = line.packet();
    if (question.empty()) return;
    std::this_thread::sleep_for(after);
    line.send("+" + gdb_frame(answer_to(question, threads)));
  }
}

TEST(GdbSimulatedTest, AcknowledgementsWithoutEndAreNoAnswer) {
  std::atomic<bool> over = false;
  const FakeMonitor stub([&over](FakeLine& line) {
    const std::string acknowledgements(64 * 1024, '+');
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!over && std::chrono::steady_clock::now() < end) line.send(acknowledgements);
  });
  const auto session = GdbSession::attach(stub.monitor(), 200ms);
  over = true;
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().error.code, Errc::busy) << to_text(session.error().error);
}

TEST(GdbSimulatedTest, AListOfThreadsThatNeverEndsIsRefused) {
  const FakeMonitor stub([](FakeLine& line) { answer(line, "m", 20'000, 0ms); });
  const auto session = GdbSession::attach(stub.monitor(), 2s);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().error.code, Errc::protocol) << to_text(session.error().error);
}

TEST(GdbSimulatedTest, AnswersJustInTimeDoNotMakeItLong) {
  const FakeMonitor stub([](FakeLine& line) { answer(line, "m01", 60, 150ms); });
  const auto session = GdbSession::attach(stub.monitor(), 300ms);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().error.code, Errc::busy) << to_text(session.error().error);
}

// Of a stub that was connected to it is told whether the guest may stand still now.
TEST(GdbSimulatedTest, AnAttachThatFailsTellsWhetherTheGuestMayStandStill) {
  const auto may_stand = [](const FakeMonitor::Script& script) {
    const FakeMonitor stub(script);
    const auto session = GdbSession::attach(stub.monitor(), 200ms);
    EXPECT_FALSE(session);
    return !session && session.error().may_have_stopped;
  };
  const auto ran = [](FakeLine& line) { line.send(gdb_frame("T05thread:01;")); };
  EXPECT_TRUE(may_stand([](FakeLine& line) { line.idle(); })) << "a QEMU that hangs";
  EXPECT_FALSE(may_stand([](FakeLine& line) { answer(line, "nonsense", 20, 0ms); }))
      << "it stood still before";
  EXPECT_TRUE(may_stand([&](FakeLine& line) {
    ran(line);
    answer(line, "nonsense", 20, 0ms);
  })) << "it does not take the detach";
  EXPECT_FALSE(may_stand([&](FakeLine& line) {
    ran(line);
    answer(line, "nonsense", 3, 0ms);
    EXPECT_EQ(line.packet(), "D");
    line.send("+" + gdb_frame("OK"));
    line.idle();
  }));
  const FakeMonitor::Script none = [](FakeLine&) {};
  const Monitor gone = FakeMonitor(none).monitor();
  const auto refused = GdbSession::attach(gone, 200ms);
  ASSERT_FALSE(refused);
  EXPECT_FALSE(refused.error().may_have_stopped) << "there was no connection";
}

}  // namespace
}  // namespace microvmi::qemu
