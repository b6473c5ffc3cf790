// SPDX-License-Identifier: Apache-2.0
// The client against wrong peers, what is no socket, and many monitors at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "qemu/qmp.hpp"
#include "unit/qemu/fake_monitor.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using test::FakeLine;
using test::FakeMonitor;
using test::kStatus;
using test::patient;
using testing::HasSubstr;

TEST(QmpSimulatedPeerTest, AnotherProcessThanTheOneWantedGetsNoCommand) {
  std::string heard;
  const FakeMonitor::Script script = [&heard](FakeLine& line) {
    line.send(test::kGreeting);
    heard = line.line();
  };
  {
    const FakeMonitor fake(script);
    Monitor other = fake.monitor();
    other.pid = static_cast<std::uint32_t>(::getppid());
    const auto answer = ask(other, kStatus, patient());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::not_found) << answer.error().message;
    EXPECT_THAT(answer.error().message, HasSubstr(std::to_string(::getpid())));
  }
  EXPECT_EQ(heard, "");
}

TEST(QmpSimulatedPeerTest, WhatIsNoListeningSocket) {
  const test::TempFolder folder;
  Monitor monitor{.endpoint = {.address = folder.path() / "absent"},
                  .pid = static_cast<std::uint32_t>(::getpid())};
  const auto code = [&monitor] { return ask(monitor, kStatus, patient()).error().code; };
  EXPECT_EQ(code(), Errc::not_found);
  monitor.endpoint.address = folder.path();
  EXPECT_EQ(code(), Errc::invalid_argument);
  monitor.endpoint.address = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(monitor.endpoint.address.c_str(), 0600), 0);
  EXPECT_EQ(code(), Errc::invalid_argument);
  monitor.endpoint = {.kind = Endpoint::Kind::unix_abstract, .address = std::string(200, 'x')};
  EXPECT_EQ(code(), Errc::invalid_argument);
  // A listener that is gone leaves its file.
  {
    const FakeMonitor fake([](FakeLine&) {});
    std::filesystem::rename(fake.path(), folder.path() / "orphan");
  }
  monitor.endpoint = {.address = folder.path() / "orphan"};
  EXPECT_EQ(code(), Errc::not_found);
}

TEST(QmpSimulatedPeerTest, OnlyLoopbackIsConnected) {
  for (const char* host : {"192.0.2.1", "example.org", "128.0.0.1", "::ffff:127.0.0.1", "fe80::1",
                           "127.0.0.1.example.org", "2130706433", "0x7f.1"}) {
    const auto answer =
        ask({.endpoint = {.kind = Endpoint::Kind::tcp, .address = host, .port = 4444},
             .pid = static_cast<std::uint32_t>(::getpid())},
            kStatus, patient());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::not_supported) << host;
    EXPECT_THAT(answer.error().message, HasSubstr("loopback"));
  }
}

TEST(QmpSimulatedPeerTest, ManyAreAskedAtOnceAndOneThatHangsKeepsNobodyWaiting) {
  const FakeMonitor good([](FakeLine& line) {
    line.greet();
    line.answer("\"good\"");
  });
  const FakeMonitor silent([](FakeLine& line) { line.idle(); });
  const FakeMonitor rude([](FakeLine& line) { line.send("no\n"); });
  const std::vector<Question> questions{{silent.monitor(), kStatus},
                                        {good.monitor(), kStatus},
                                        {rude.monitor(), kStatus},
                                        {silent.monitor(), kStatus},
                                        {good.monitor(), {.name = "query-name"}}};
  const auto answers = ask_all(questions, 2s, patient());
  ASSERT_EQ(answers.size(), questions.size());
  EXPECT_EQ(answers[0].error().code, Errc::busy);
  EXPECT_EQ(*answers[1], "good");
  EXPECT_EQ(answers[2].error().code, Errc::protocol);
  EXPECT_EQ(answers[3].error().code, Errc::busy);
  EXPECT_EQ(*answers[4], "good");
  // One that never answers in the 20 ms of a scan has not said that it is busy.
  const std::vector<Question> one{{silent.monitor(), kStatus}};
  EXPECT_EQ(ask_all(one, 20ms, patient())[0].error().code, Errc::timed_out);
  EXPECT_TRUE(ask_all({}, 20ms, patient()).empty());
}

TEST(QmpSimulatedPeerTest, MoreQuestionsThanConnectionsAtOnce) {
  const FakeMonitor fake([](FakeLine& line) {
    line.greet();
    line.answer("5");
  });
  const std::vector<Question> questions(150, {fake.monitor(), kStatus});
  for (const auto& answer : ask_all(questions, 20s, patient())) {
    ASSERT_TRUE(answer) << to_text(answer.error());
    EXPECT_EQ(*answer, 5);
  }
}

}  // namespace
}  // namespace microvmi::qemu
