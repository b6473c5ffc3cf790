// SPDX-License-Identifier: Apache-2.0
// Process: held by pidfd, refused with a reason.
#include "host/linux/process.hpp"

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "host/linux/proc.hpp"
#include "unit/host/target.hpp"

namespace microvmi::host {
namespace {

using test::Target;

TEST(ProcessTest, KnowsAnEndedOne) {
  Target target([] { return std::uint64_t{1}; });
  const std::uint32_t pid = target.pid();
  auto process = Process::open(pid);
  ASSERT_TRUE(process) << to_text(process.error());
  EXPECT_TRUE(process->alive());
  EXPECT_TRUE(process->writable());
  EXPECT_EQ(process->start_time(), stat_of(pid)->start_time);
  target.kill();
  EXPECT_FALSE(process->alive());
  EXPECT_EQ(process->gone().code, Errc::disconnected);

  const auto again = Process::open(pid);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::not_found);
}

TEST(ProcessTest, KnowsAnEndedOneHoweverItLooks) {
  for (const Liveness liveness : {Liveness::cheap, Liveness::poll})
    for (int i = 0; i < 50; ++i) {
      Target target([] { return std::uint64_t{1}; });
      const auto process = Process::open(target.pid(), std::nullopt, liveness);
      ASSERT_TRUE(process);
      ASSERT_TRUE(process->alive());
      target.kill();
      ASSERT_FALSE(process->alive());
      ASSERT_FALSE(process->alive());
    }
}

#ifdef __SANITIZE_THREAD__
constexpr bool kNoThreadsInAFork = true;
#else
constexpr bool kNoThreadsInAFork = false;
#endif

// More threads than the page shared with the kernel has room for, with looks in between or not.
TEST(ProcessTest, ThreadsThatComeAndGoAreNoEnd) {
  if (kNoThreadsInAFork) GTEST_SKIP() << "the thread sanitizer starts no thread in a forked child";
  for (const int threads : {1, 10, 100, 127, 128, 129, 1000})
    for (const bool look : {false, true}) {
      Target target([] { return std::uint64_t{1}; });
      const auto process = Process::open(target.pid());
      ASSERT_TRUE(process);
      for (int i = 0; i < threads; i += 10) {
        target.run_threads(std::min(threads - i, 10));
        if (look) {
          ASSERT_TRUE(process->alive());
        }
      }
      EXPECT_TRUE(process->alive());
      target.kill();
      EXPECT_FALSE(process->alive()) << threads;
    }
}

// The first thread ends before the others: its record comes first, the end of the process later.
TEST(ProcessTest, LivesOnInAnotherThread) {
  if (kNoThreadsInAFork) GTEST_SKIP() << "the thread sanitizer starts no thread in a forked child";
  Target target([] { return std::uint64_t{1}; });
  const auto process = Process::open(target.pid());
  ASSERT_TRUE(process);
  target.leave_to_another_thread();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(process->alive());
  target.kill();
  EXPECT_FALSE(process->alive());
}

TEST(ProcessTest, AZombieIsNotAlive) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  const auto process = Process::open(static_cast<std::uint32_t>(pid));
  ::waitpid(pid, nullptr, 0);
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, Errc::not_found);
}

TEST(ProcessTest, AReusedNumberIsRefused) {
  const Target target([] { return std::uint64_t{1}; });
  const std::uint64_t start = stat_of(target.pid())->start_time;
  EXPECT_TRUE(Process::open(target.pid(), start));
  const auto process = Process::open(target.pid(), start - 1);
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, Errc::not_found);
  EXPECT_NE(process.error().message.find("given to a new process"), std::string::npos);
}

TEST(ProcessTest, NumbersThatNameNoneAreRefused) {
  for (const std::uint32_t pid : {0U, 0x7FFFFFFFU, 0xFFFFFFFFU}) EXPECT_FALSE(Process::open(pid));
}

// What another user gets, said by a child that became one.
std::string told_to_nobody(std::uint32_t pid) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned kNobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)
      ::_exit(1);
    const auto process = Process::open(pid);
    const std::string text = process ? "opened" : to_text(process.error());
    if (::write(ends[1], text.data(), text.size()) < 0) ::_exit(1);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::array<char, 512> text{};
  const ssize_t size = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return {text.data(), static_cast<std::size_t>(size > 0 ? size : 0)};
}

TEST(ProcessTest, SaysWhatIsMissing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  const Target target([] { return std::uint64_t{1}; });
  EXPECT_EQ(told_to_nobody(target.pid()),
            "permission_denied: cannot read the memory of process " + std::to_string(target.pid()) +
                ": it belongs to user 0, this is user 65534 without CAP_SYS_PTRACE "
                "(run as root or grant CAP_SYS_PTRACE)");
}

TEST(ProcessTest, SaysThatItIsNotDumpable) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  const Target target([] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(1);
    ::prctl(PR_SET_DUMPABLE, 0);
    return std::uint64_t{1};
  });
  EXPECT_NE(told_to_nobody(target.pid()).find("it is marked as not dumpable"), std::string::npos);
}

}  // namespace
}  // namespace microvmi::host
