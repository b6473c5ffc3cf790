// SPDX-License-Identifier: Apache-2.0
// A program killed while its guest is paused: the guest runs again and no guard is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "guard/simulated_guest.hpp"
#include "support/soon.hpp"
#include "support/temp_folder.hpp"

namespace microvmi {
namespace {

namespace fs = std::filesystem;
using test::SimulatedGuest;
using test::soon;

class GuardSimulatedTest : public testing::Test {
 protected:
  GuardSimulatedTest() {
    // A name of its own, so that its processes can be told from those of other tests.
    helper_ = folder_ / "simulated-guard";
    fs::copy_file(MICROVMI_SIMULATED_GUARD, helper_);
    SimulatedGuest::put(folder_ / "state", "running");
  }
  ~GuardSimulatedTest() override {
    EXPECT_TRUE(soon([&] { return guards().empty(); })) << "a guard is left behind";
  }

  [[nodiscard]] std::vector<pid_t> guards() const {
    std::vector<pid_t> found;
    std::error_code ec;
    for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ec))
      if (fs::read_symlink(entry.path() / "exe", ec) == helper_)
        found.push_back(std::stoi(entry.path().filename()));
    return found;
  }

  [[nodiscard]] Vm open(std::optional<std::uint32_t> pid = 4242,
                        std::chrono::milliseconds timeout = std::chrono::seconds(5)) const {
    Vm vm(DriverType::memflow, std::make_unique<SimulatedGuest>(folder_));
    vm.pause_through(std::make_unique<guard::GuardControl>(
        *vm.driver().run_control(),
        guard::Subject{.driver = DriverType::memflow,
                       .params = {{.key = "vm-name", .value = folder_.string()}},
                       .pid = pid},
        GuardOptions{.helper = helper_, .timeout = timeout}));
    return vm;
  }

  [[nodiscard]] std::string state() const { return SimulatedGuest::get(folder_ / "state"); }

  // Runs it in a process that is killed as soon as it calls `here`, or after a delay.
  void kill_client(const std::function<void(std::function<void()> here)>& work,
                   std::optional<std::chrono::microseconds> delay = {}) const {
    std::array<int, 2> reached{};
    ASSERT_EQ(::pipe(reached.data()), 0);
    const pid_t client = ::fork();
    if (client == 0) {
      work([&] {
        static_cast<void>(::write(reached[1], "x", 1) == 1);
        ::sleep(60);
      });
      ::_exit(0);
    }
    ::close(reached[1]);
    char mark = 0;
    if (delay)
      std::this_thread::sleep_for(*delay);
    else
      EXPECT_EQ(::read(reached[0], &mark, 1), 1);
    ::close(reached[0]);
    ::kill(client, SIGKILL);
    ASSERT_EQ(::waitpid(client, nullptr, 0), client);
  }

  const test::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
  fs::path helper_;
};

TEST_F(GuardSimulatedTest, PausesAndResumesLikeTheDriverItself) {
  Vm vm = open();
  ASSERT_TRUE(vm.pause());
  EXPECT_EQ(state(), "stopped");
  EXPECT_EQ(guards().size(), 1U);
  ASSERT_TRUE(vm.pause());
  ASSERT_TRUE(vm.resume());
  EXPECT_EQ(state(), "stopped") << "pauses nest in the program";
  EXPECT_FALSE(*vm.running());
  ASSERT_TRUE(vm.resume());
  EXPECT_EQ(state(), "running");
  EXPECT_TRUE(*vm.running());
}

TEST_F(GuardSimulatedTest, ClosingResumesBeforeItReturns) {
  {
    ASSERT_TRUE(open().pause());
  }
  EXPECT_EQ(state(), "running");
}

TEST_F(GuardSimulatedTest, AGuestFoundPausedStaysPaused) {
  SimulatedGuest::put(folder_ / "state", "stopped");
  {
    ASSERT_TRUE(open().pause());
  }
  EXPECT_EQ(state(), "stopped");
}

TEST_F(GuardSimulatedTest, KilledWhilePaused) {
  kill_client([&](const auto& here) {
    Vm vm = open();
    if (vm.pause()) here();
  });
  EXPECT_TRUE(soon([&] { return state() == "running"; }));
}

TEST_F(GuardSimulatedTest, KilledWhilePausedWithAChildThatHoldsTheChannel) {
  kill_client([&](const auto& here) {
    Vm vm = open();
    if (!vm.pause()) return;
    if (::fork() == 0) {
      ::close(1);  // which whoever reads our output would wait for
      ::sleep(6);
      ::_exit(0);
    }
    here();
  });
  const Wait wait = Wait::at_most(std::chrono::seconds(4));
  EXPECT_TRUE(soon([&] { return state() == "running"; }));
  EXPECT_EQ(wait.over(), Errc::none) << "it was the child's end that resumed the guest";
}

TEST_F(GuardSimulatedTest, KilledInTheMiddleOfAPause) {
  SimulatedGuest::put(folder_ / "slow", "300");
  kill_client(
      [&](const auto&) {
        Vm vm = open();
        static_cast<void>(vm.pause().has_value());
        ::sleep(60);
      },
      std::chrono::milliseconds(150));
  EXPECT_TRUE(soon([&] { return guards().empty(); }));
  EXPECT_EQ(state(), "running");
}

TEST_F(GuardSimulatedTest, KilledInTheMiddleOfAResume) {
  kill_client([&](const auto& here) {
    Vm vm = open();
    static_cast<void>(vm.pause().has_value());
    SimulatedGuest::put(folder_ / "slow", "200");
    std::thread(here).detach();
    static_cast<void>(vm.resume().has_value());
    ::sleep(60);
  });
  EXPECT_TRUE(soon([&] { return state() == "running"; }));
}

TEST_F(GuardSimulatedTest, KilledAtAnyMoment) {
  for (int delay = 0; delay < 25'000; delay += 700) {
    kill_client(
        [&](const auto&) {
          while (true) {
            Vm vm = open();
            static_cast<void>(vm.pause().has_value());
            static_cast<void>(vm.resume().has_value());
          }
        },
        std::chrono::microseconds(delay));
    EXPECT_TRUE(soon([&] { return guards().empty(); })) << delay;
    EXPECT_EQ(state(), "running") << delay;
  }
}

TEST_F(GuardSimulatedTest, TheGuardHearsNoSignalThatEndsPrograms) {
  Vm vm = open();
  ASSERT_TRUE(vm.pause());
  ASSERT_EQ(guards().size(), 1U);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) ::kill(guards()[0], signal);
  EXPECT_NE(::getsid(guards()[0]), ::getsid(0));
  EXPECT_TRUE(vm.resume());
  EXPECT_EQ(guards().size(), 1U);
}

TEST_F(GuardSimulatedTest, TheGuardsOwnDeathIsToldAndTheGuestResumedWithoutIt) {
  Vm vm = open();
  ASSERT_TRUE(vm.pause());
  ::kill(guards().at(0), SIGKILL);
  EXPECT_TRUE(soon([&] { return guards().empty(); }));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(vm.pause().error().code, Errc::disconnected);
  EXPECT_EQ(state(), "stopped");
  EXPECT_TRUE(vm.resume());
  EXPECT_EQ(state(), "running");
  ASSERT_TRUE(vm.pause()) << "with a new guard";
  EXPECT_EQ(guards().size(), 1U);
}

TEST_F(GuardSimulatedTest, AGuardThatDiesBetweenPausesIsReplaced) {
  Vm vm = open();
  ASSERT_TRUE(vm.pause());
  ASSERT_TRUE(vm.resume());
  ::kill(guards().at(0), SIGKILL);
  EXPECT_TRUE(soon([&] { return guards().empty(); }));
  EXPECT_TRUE(vm.pause());
  EXPECT_EQ(guards().size(), 1U);
}

TEST_F(GuardSimulatedTest, AResumeThatFailsIsTriedAgain) {
  SimulatedGuest::put(folder_ / "refusals", "5");
  kill_client([&](const auto& here) {
    Vm vm = open();
    if (vm.pause()) here();
  });
  EXPECT_TRUE(soon([&] { return state() == "running"; }));
}

TEST_F(GuardSimulatedTest, AnotherGuestIsRefused) {
  Vm vm = open(4243);
  const auto paused = vm.pause();
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().code, Errc::not_found);
  EXPECT_EQ(state(), "running");
}

TEST_F(GuardSimulatedTest, AnAnswerThatDoesNotComeIsAnErrorAndUndone) {
  SimulatedGuest::put(folder_ / "slow", "1000");
  Vm vm = open(4242, std::chrono::milliseconds(300));
  EXPECT_EQ(vm.pause().error().code, Errc::timed_out);
  EXPECT_TRUE(soon([&] { return state() == "running"; }));
}

TEST_F(GuardSimulatedTest, AHelperThatIsNoneIsAnError) {
  helper_ = folder_ / "absent";
  EXPECT_THAT(open().pause().error().message, testing::HasSubstr("No such file"));
  helper_ = "/bin/true";
  EXPECT_EQ(open().pause().error().code, Errc::protocol);
  helper_ = folder_ / "script";
  std::ofstream(helper_) << "#!/bin/sh\nexec sleep 30\n";
  fs::permissions(helper_, fs::perms::owner_all);
  EXPECT_EQ(open(4242, std::chrono::milliseconds(200)).pause().error().code, Errc::protocol);
  EXPECT_EQ(state(), "running");
}

TEST(GuardLaunchTest, TheHelperIsFoundBesideTheLibraryAndSpeaksOurVersion) {
  const auto helper = guard::helper_for({});
  ASSERT_TRUE(helper) << helper.error().message;
  auto channel = guard::launch({});
  ASSERT_TRUE(channel) << channel.error().message;
  const Wait wait = Wait::at_most(std::chrono::seconds(5));
  ASSERT_TRUE(channel->send({"ping"}));
  EXPECT_THAT(*channel->receive(wait), testing::ElementsAre("ok"));
  ASSERT_TRUE(channel->send({"pause"}));
  EXPECT_THAT(channel->receive(wait)->at(0), "failed");
  // Named, for any QEMU that runs on this machine would do where nothing is.
  ASSERT_TRUE(channel->send(
      {"open", "memflow", "1000", "", "memflow.qemu-procfs.vm-name", "no guest has this name"}));
  EXPECT_THAT(channel->receive(wait)->at(0), "failed") << "nothing to open";
  channel->finish();
  EXPECT_EQ(channel->receive(wait).error().code, Errc::disconnected);
}

TEST(GuardChannelTest, MessagesKeepTheirTextsAndTheirLimits) {
  const auto ends = guard::Channel::pair();
  ASSERT_TRUE(ends);
  const Wait wait = Wait::at_most(std::chrono::seconds(5));
  const guard::Message message{"open", "", "a\nb", "\xff\xfe"};
  ASSERT_TRUE(ends->first.send(message));
  EXPECT_EQ(*ends->second.receive(wait), message);
  EXPECT_EQ(ends->first.send({std::string("a\0b", 3)}).error().code, Errc::invalid_argument);
  EXPECT_EQ(ends->first.send({std::string(1UL << 20, 'a')}).error().code, Errc::invalid_argument);
  EXPECT_EQ(ends->second.receive(Wait::at_most(std::chrono::milliseconds(1))).error().code,
            Errc::timed_out);
  ASSERT_EQ(::send(ends->first.fd(), "cut off", 7, 0), 7);
  EXPECT_EQ(ends->second.receive(wait).error().code, Errc::protocol);
}

}  // namespace
}  // namespace microvmi
