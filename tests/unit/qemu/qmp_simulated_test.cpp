// SPDX-License-Identifier: Apache-2.0
// The client against monitors of the test's own that misbehave in every way that came to mind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <stop_token>
#include <string>
#include <thread>

#include "qemu/qmp.hpp"
#include "qemu/qmp_framer.hpp"
#include "unit/qemu/fake_monitor.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using test::FakeLine;
using test::FakeMonitor;
using test::kStatus;
using test::patient;
using testing::HasSubstr;

Expected<nlohmann::json> ask_fake(const FakeMonitor& fake) {
  return ask(fake.monitor(), kStatus, patient());
}

Errc code_of(const FakeMonitor::Script& script) {
  const FakeMonitor fake(script);
  const auto answer = ask_fake(fake);
  EXPECT_FALSE(answer);
  return answer ? Errc::none : answer.error().code;
}

TEST(QmpSimulatedTest, AnAnswerComesThroughEventsAndUnderItsOwnId) {
  const FakeMonitor fake([](FakeLine& line) {
    line.send(test::kGreeting);
    line.send("{\"event\": \"EARLY\", \"data\": {}}\n");
    EXPECT_EQ(line.answer("{}"), "qmp_capabilities");
    line.send("{\"event\": \"STOP\"}{\"event\": \"RESUME\", \"data\": {\"id\": 1}}\r\n");
    EXPECT_EQ(line.answer("{\"status\": \"running\"}"), "query-status");
    line.idle();
  });
  const auto answer = ask_fake(fake);
  ASSERT_TRUE(answer) << to_text(answer.error());
  EXPECT_EQ((*answer)["status"], "running");
}

TEST(QmpSimulatedTest, OneConnectionTakesCommandAfterCommand) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.answer("1");
    line.send("{\"event\": \"BETWEEN\"}\n");
    EXPECT_EQ(line.answer("\"text\\r\\n\""), "human-monitor-command");
    line.idle();
  });
  auto qmp = Qmp::connect(fake.monitor(), patient());
  ASSERT_TRUE(qmp) << to_text(qmp.error());
  EXPECT_EQ(*qmp->execute(kStatus, patient()), 1);
  EXPECT_EQ(*qmp->human("info status", patient()), "text\r\n");
}

TEST(QmpSimulatedTest, ARefusalIsAnErrorThatLeavesTheConnection) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.line();
    line.send(R"({"id": 1, "error": {"class": "CommandNotFound", "desc": "no \u001b[31m such"}})");
    line.answer("2");
    line.idle();
  });
  auto qmp = Qmp::connect(fake.monitor(), patient());
  ASSERT_TRUE(qmp);
  const auto refused = qmp->execute(kStatus, patient());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_supported);
  EXPECT_THAT(refused.error().message, HasSubstr("query-status"));
  EXPECT_THAT(refused.error().message, HasSubstr("monitor " + to_text(fake.monitor().endpoint)));
  EXPECT_EQ(refused.error().message.find('\x1b'), std::string::npos);
  EXPECT_EQ(*qmp->execute(kStatus, patient()), 2);
}

TEST(QmpSimulatedTest, SilenceInsteadOfAGreetingIsABusyMonitor) {
  const FakeMonitor fake([](FakeLine& line) { line.idle(); });
  const auto start = std::chrono::steady_clock::now();
  const auto answer = ask_fake(fake);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::busy);
  EXPECT_THAT(answer.error().message, HasSubstr("no greeting within 1000 ms"));
  EXPECT_THAT(answer.error().message, HasSubstr(fake.path()));
  EXPECT_GE(std::chrono::steady_clock::now() - start, kSlowGreetingTime);
}

TEST(QmpSimulatedTest, AScanDoesNotWaitForASlowGreeting) {
  const FakeMonitor fake([](FakeLine& line) { line.idle(); });
  const Question question{.monitor = fake.monitor(), .command = kStatus};
  const auto answers = ask_all({&question, 1}, 20s, patient());
  ASSERT_EQ(answers.size(), 1U);
  ASSERT_FALSE(answers[0]);
  EXPECT_THAT(answers[0].error().message, HasSubstr("no greeting within 200 ms"));
}

TEST(QmpSimulatedTest, AGreetingThatIsLateWhileNobodyElseIsThereIsWaitedFor) {
  const FakeMonitor fake([](FakeLine& line) {
    std::this_thread::sleep_for(2 * kGreetingTime);
    line.greet();
    line.answer("1");
    line.idle();
  });
  const auto answer = ask_fake(fake);
  ASSERT_TRUE(answer) << to_text(answer.error());
  EXPECT_EQ(*answer, 1);
}

TEST(QmpSimulatedTest, WhatIsNoGreetingIsNoMonitor) {
  for (const char* text :
       {"{}\n", "{\"QMP\": 1}\n", "{\"return\": {}}\n", "{\"event\": \"X\"}\n", "SSH-2.0-OpenSSH\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n", "QEMU 7.2.22 monitor - type 'help'\r\n(qemu) "})
    EXPECT_EQ(code_of([text](FakeLine& line) {
                line.send(text);
                line.idle();
              }),
              Errc::protocol)
        << text;
}

TEST(QmpSimulatedTest, HangingUpAtEachStep) {
  EXPECT_EQ(code_of([](FakeLine&) {}), Errc::disconnected);
  EXPECT_EQ(code_of([](FakeLine& line) { line.send("{\"QMP\""); }), Errc::disconnected);
  EXPECT_EQ(code_of([](FakeLine& line) { line.send(test::kGreeting); }), Errc::disconnected);
  EXPECT_EQ(code_of([](FakeLine& line) { line.greet(); }), Errc::disconnected);
  EXPECT_EQ(code_of([](FakeLine& line) {
              line.greet();
              line.line();
            }),
            Errc::disconnected);
  EXPECT_EQ(code_of([](FakeLine& line) {
              line.greet();
              line.line();
              line.send("{\"return\": {\"status\"");
            }),
            Errc::disconnected);
}

TEST(QmpSimulatedTest, AnAnswerCountsEvenWhenTheLineDropsRightAfterIt) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.answer("7");
  });
  EXPECT_EQ(*ask_fake(fake), 7);
}

TEST(QmpSimulatedTest, AnswersThatNobodyAskedFor) {
  for (const char* text :
       {"{\"return\": {}}\n", "{\"return\": {}, \"id\": 99}\n", "{\"return\": {}, \"id\": \"1\"}\n",
        "{\"return\": {}, \"id\": -1}\n", "{\"id\": 1}\n", "{\"error\": {}}\n",
        "{\"return\": {}, \"error\": {}, \"id\": 1}\n", "{\"QMP\": {}}\n", "[]\n",
        "{\"return\": {}, \"id\": 0}\n", "{\"return\": \1}\n", "garbage\n"})
    EXPECT_EQ(code_of([text](FakeLine& line) {
                line.greet();
                line.line();
                line.send(text);
                line.idle();
              }),
              Errc::protocol)
        << text;
}

TEST(QmpSimulatedTest, TheNegotiationHasNoId) {
  EXPECT_EQ(code_of([](FakeLine& line) {
              line.send(test::kGreeting);
              EXPECT_EQ(line.line(), R"({"execute":"qmp_capabilities"})");
              line.send("{\"return\": {}, \"id\": 0}\n");
              line.idle();
            }),
            Errc::protocol);
}

TEST(QmpSimulatedTest, RefusedNegotiation) {
  const FakeMonitor fake([](FakeLine& line) {
    line.send(test::kGreeting);
    line.line();
    line.send(R"({"error": {"class": "GenericError", "desc": "go away"}})");
    line.idle();
  });
  const auto answer = ask_fake(fake);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("go away"));
}

TEST(QmpSimulatedTest, OversizeAndDepthEndTheConnection) {
  EXPECT_EQ(code_of([](FakeLine& line) {
              line.greet();
              line.line();
              line.send("{\"return\": \"");
              const std::string block(1 << 20, 'x');
              for (std::size_t sent = 0; sent <= kMaxMessage; sent += block.size())
                line.send(block);
              line.idle();
            }),
            Errc::protocol);
  EXPECT_EQ(code_of([](FakeLine& line) {
              line.send("{\"QMP\": " + std::string(100000, '['));
              line.idle();
            }),
            Errc::protocol);
}

TEST(QmpSimulatedTest, SlowBytesEndAtTheDeadline) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.line();
    line.send("{\"return\": \"");
    for (int i = 0; i != 200; ++i) {
      line.send("x");
      std::this_thread::sleep_for(2ms);
    }
  });
  const auto answer = ask(fake.monitor(), kStatus, Wait::at_most(100ms));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::timed_out);
  EXPECT_THAT(answer.error().message, HasSubstr(fake.path()));
}

TEST(QmpSimulatedTest, AFloodOfEventsEndsAtTheDeadline) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    const auto end = std::chrono::steady_clock::now() + 300ms;
    while (std::chrono::steady_clock::now() < end) line.send("{\"event\": \"AGAIN\"}\r\n");
  });
  EXPECT_EQ(ask(fake.monitor(), kStatus, Wait::at_most(50ms)).error().code, Errc::timed_out);
}

TEST(QmpSimulatedTest, ASlowGreetingWithinItsTimeIsNoError) {
  const FakeMonitor fake([](FakeLine& line) {
    for (const char c : std::string_view(test::kGreeting)) {
      line.send({&c, 1});
      std::this_thread::sleep_for(100us);
    }
    line.answer("{}");
    line.answer("3");
    line.idle();
  });
  EXPECT_EQ(*ask_fake(fake), 3);
}

TEST(QmpSimulatedTest, AStopEndsTheWait) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.idle();
  });
  std::stop_source source;
  const std::jthread stopper([&source] {
    std::this_thread::sleep_for(30ms);
    source.request_stop();
  });
  const auto answer = ask(fake.monitor(), kStatus, Wait{.stop = source.get_token()});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::cancelled);
}

TEST(QmpSimulatedTest, AfterATimeoutTheConnectionIsOver) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.idle();
  });
  auto qmp = Qmp::connect(fake.monitor(), patient());
  ASSERT_TRUE(qmp);
  EXPECT_EQ(qmp->execute(kStatus, Wait::at_most(20ms)).error().code, Errc::timed_out);
  EXPECT_EQ(qmp->execute(kStatus, patient()).error().code, Errc::disconnected);
}

}  // namespace
}  // namespace microvmi::qemu
