// SPDX-License-Identifier: Apache-2.0
// The helper process: ended at the deadline, at the end and with its program, and never in its way.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "support/soon.hpp"
#include "unit/connector/pcileech/machine.hpp"

namespace microvmi::test {
namespace {

using test::soon;

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using Kind = LeechcoreMachine::Kind;

// The helpers that have this machine's file open, or that map the library for it.
std::vector<pid_t> helpers(const LeechcoreMachine& machine) {
  std::vector<pid_t> found;
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ec)) {
    if (fs::read_symlink(entry.path() / "exe", ec).filename() != "microvmi-leechcore") continue;
    for (const fs::directory_entry& fd : fs::directory_iterator(entry.path() / "fd", ec))
      if (fs::read_symlink(fd.path(), ec) == machine.path())
        found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

std::size_t open_descriptors() {
  std::error_code ec;
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd", ec), fs::directory_iterator()));
}

class PcileechSimulatedProcess : public testing::Test {
 protected:
  ~PcileechSimulatedProcess() override {
    EXPECT_TRUE(soon([&] { return helpers(machine_).empty(); })) << "a helper is left behind";
  }

  [[nodiscard]] PcileechParams params(const std::string& keys, std::chrono::milliseconds timeout) {
    PcileechParams out = simulated(machine_, keys);
    out.timeout = timeout;
    return out;
  }

  LeechcoreMachine machine_{Kind::raw};
  std::vector<std::byte> page_ = std::vector<std::byte>(kPageSize);
};

TEST_F(PcileechSimulatedProcess, AnOpenThatDoesNotComeBackIsEndedAtTheDeadline) {
  EXPECT_THAT(refusal(params("hang=create", 300ms)),
              AllOf(HasSubstr("timed_out"), HasSubstr("did not come back in time")));
  EXPECT_THAT(refusal(params("hang=map", 300ms)), HasSubstr("timed_out"));
}

TEST_F(PcileechSimulatedProcess, TheCallersDeadlineCountsToo) {
  EXPECT_THAT(refusal(params("hang=create", 30s), {.wait = Wait::at_most(300ms)}),
              HasSubstr("timed_out"));
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  });
  const Wait wait{.stop = stop.get_token()};
  EXPECT_THAT(refusal(params("hang=create", 30s), {.wait = wait}), HasSubstr("cancelled"));
}

TEST_F(PcileechSimulatedProcess, AReadThatDoesNotComeBackIsEndedAndSoIsTheGuest) {
  auto vm = open_pcileech(params("hang=read", 1000ms));
  ASSERT_TRUE(vm) << to_text(vm.error());
  ASSERT_EQ(helpers(machine_).size(), 1U);
  EXPECT_EQ(vm->memory().read(Gpa{0}, page_).error().code, Errc::timed_out);
  EXPECT_TRUE(helpers(machine_).empty()) << "it still runs";
  EXPECT_EQ(vm->memory().read(Gpa{0}, page_).error().code, Errc::disconnected);
  const auto again = vm->memory().refresh();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::disconnected);
  EXPECT_THAT(again.error().message, HasSubstr("did not come back in time"));
}

TEST_F(PcileechSimulatedProcess, AWriteThatDoesNotComeBackIsEnded) {
  auto vm = open_pcileech(params("write=1,hang=write", 1000ms));
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_EQ(vm->memory().write(Gpa{0}, page_).error().code, Errc::timed_out);
  EXPECT_EQ(vm->memory().write(Gpa{0}, page_).error().code, Errc::disconnected);
}

TEST_F(PcileechSimulatedProcess, TheDeviceIsClosed) {
  {
    auto vm = open_pcileech(params("mark=1", 30s));
    ASSERT_TRUE(vm) << to_text(vm.error());
  }
  EXPECT_TRUE(fs::exists(machine_.path().string() + ".closed"));
}

TEST_F(PcileechSimulatedProcess, ACloseThatDoesNotComeBackIsEnded) {
  auto vm = open_pcileech(params("hang=close", 30s));
  ASSERT_TRUE(vm) << to_text(vm.error());
}

TEST_F(PcileechSimulatedProcess, AProcessThatEndsSaysHow) {
  EXPECT_THAT(refusal(params("exit=create", 30s)),
              AllOf(HasSubstr("disconnected"), HasSubstr("ended with exit status 3")));
  auto vm = open_pcileech(params("exit=read,print=read", 30s));
  ASSERT_TRUE(vm) << to_text(vm.error());
  std::vector<std::byte> more(1000 * kPageSize);
  std::vector<ReadRequest> batch{{.gpa = Gpa{0x1000}, .into = page_},
                                 {.gpa = Gpa{0x2000}, .into = more}};
  vm->memory().read(batch);
  for (const ReadRequest& request : batch) {
    EXPECT_EQ(request.status, Errc::disconnected);
    EXPECT_EQ(request.failed_at, request.gpa);
    EXPECT_EQ(request.done, 0U);
  }
  EXPECT_THAT(vm->memory().refresh().error().message, HasSubstr("ended with exit status 3"));
}

TEST_F(PcileechSimulatedProcess, OneThatIsKilledSaysByWhat) {
  auto vm = open_pcileech(params("", 30s));
  ASSERT_TRUE(vm) << to_text(vm.error());
  ::kill(helpers(machine_).at(0), SIGKILL);
  EXPECT_EQ(vm->memory().read(Gpa{0}, page_).error().code, Errc::disconnected);
  EXPECT_THAT(vm->memory().refresh().error().message, HasSubstr("was ended by Killed"));
}

TEST_F(PcileechSimulatedProcess, NothingIsLeftOpenAndNoChildIsLeftToWaitFor) {
  const std::size_t before = open_descriptors();
  for (const char* keys : {"", "exit=create", "map=overlap"})
    static_cast<void>(open_pcileech(params(keys, 30s)).has_value());
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

// What a program does that opens a guest, starts a child which keeps all that is open, and reads.
[[noreturn]] void be_the_program(const PcileechParams& params, int told) {
  auto vm = open_pcileech(params);
  if (!vm) ::_exit(1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(told);
    ::sleep(60);
    ::_exit(0);
  }
  static_cast<void>(::write(told, &child, sizeof child) == sizeof child);
  std::array<std::byte, 16> bytes{};
  static_cast<void>(vm->memory().read(Gpa{0}, bytes).has_value());
  ::sleep(60);
  ::_exit(0);
}

TEST_F(PcileechSimulatedProcess, ItEndsWithItsProgramEvenInTheMiddleOfACall) {
  for (const char* keys : {"", "hang=read"}) {
    std::array<int, 2> told{};
    ASSERT_EQ(::pipe(told.data()), 0);
    const pid_t program = ::fork();
    if (program == 0) be_the_program(params(keys, 60s), told[1]);
    ::close(told[1]);
    pid_t child = 0;
    EXPECT_EQ(::read(told[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
    ::close(told[0]);
    EXPECT_EQ(helpers(machine_).size(), 1U);
    ::kill(program, SIGKILL);
    ASSERT_EQ(::waitpid(program, nullptr, 0), program);
    EXPECT_TRUE(soon([&] { return helpers(machine_).empty(); })) << keys;
    if (child > 0) ::kill(child, SIGKILL);
  }
}

TEST_F(PcileechSimulatedProcess, CtrlCIsForTheProgram) {
  auto vm = open_pcileech(params("", 30s));
  ASSERT_TRUE(vm) << to_text(vm.error());
  const pid_t helper = helpers(machine_).at(0);
  EXPECT_NE(::getsid(helper), ::getsid(0));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::kill(helper, signal);
  EXPECT_TRUE(vm->memory().read(Gpa{0}, page_));
}

}  // namespace
}  // namespace microvmi::test
