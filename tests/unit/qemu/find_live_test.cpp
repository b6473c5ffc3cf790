// SPDX-License-Identifier: Apache-2.0
// Real QEMU processes among what looks like one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "qemu/find.hpp"
#include "support/qemu_guest.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using test::QemuGuest;
using test::QemuOptions;
using testing::HasSubstr;

QemuOptions still() { return {.memory = "64M", .monitor = test::Monitor::none, .started = false}; }

std::uint32_t pid_of(const QemuGuest& guest) { return static_cast<std::uint32_t>(guest.pid()); }

std::size_t count_named(const std::string& name) {
  const auto found = find_processes();
  if (!found) return 0;
  return static_cast<std::size_t>(
      std::ranges::count_if(*found, [&](const QemuProcess& one) { return one.line.name == name; }));
}

// A child that runs what is given, killed and reaped at the end.
class Child {
 public:
  explicit Child(std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

 private:
  pid_t pid_;
};

TEST(FindLiveTest, NamesWithSpacesAndCommas) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still();
  options.name = "guest=find,, me & you,debug-threads=on";
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const auto process = process_of(pid_of(**guest));
  ASSERT_TRUE(process) << to_text(process.error());
  EXPECT_EQ(process->line.name, "find, me & you");
  EXPECT_FALSE(process->unreadable);
  EXPECT_EQ(count_named("find, me & you"), 1U);
}

TEST(FindLiveTest, ARenamedBinaryIsFoundAndAnImpostorIsNot) {
  MICROVMI_NEEDS_QEMU();
  const test::TempFolder folder;
  QemuOptions options = still();
  options.program = folder.path() / "totally not an emulator";
  std::filesystem::copy_file(*test::find_program(test::kQemu), options.program);
  options.name = "renamed";
  // A moved QEMU finds neither its modules nor its firmware by itself.
  ::setenv("QEMU_MODULE_DIR", "/usr/lib/x86_64-linux-gnu/qemu", 0);
  options.args = {"-L", "/usr/share/qemu", "-L", "/usr/share/seabios"};
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const auto process = process_of(pid_of(**guest));
  ASSERT_TRUE(process) << to_text(process.error());
  EXPECT_EQ(process->line.name, "renamed");
  EXPECT_EQ(count_named("renamed"), 1U);

  const auto impostor = folder.path() / "qemu-system-x86_64";
  std::filesystem::copy_file("/bin/sleep", impostor);
  const Child asleep({impostor, "60"});
  std::this_thread::sleep_for(100ms);
  const auto refused = process_of(asleep.pid());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("has no memory of a guest"));
}

TEST(FindLiveTest, WrappersThreadsAndZombiesAreNone) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still();
  options.name = "only one";
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const Child shell({"/bin/sh", "-c", "kill -STOP $$; :", "qemu-system-x86_64", "-name", "only one",
                     "-M", "pc", "-m", "64", "-nodefaults"});
  EXPECT_EQ(count_named("only one"), 1U);
  EXPECT_EQ(process_of(shell.pid()).error().code, Errc::invalid_argument);
  const auto self = process_of(static_cast<std::uint32_t>(::getpid()));
  EXPECT_THAT(self.error().message, HasSubstr("is no QEMU"));
  (*guest)->kill_unreaped();
  EXPECT_EQ(count_named("only one"), 0U);
  EXPECT_FALSE(process_of(pid_of(**guest)));
}

TEST(FindLiveTest, AHelperThatSharesItsMemoryIsNoSecondGuest) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still();
  options.name = "torn down later";
  options.args = {"-async-teardown"};
  const auto guest = QemuGuest::start(options);
  if (!guest) GTEST_SKIP() << "this QEMU has no -async-teardown: " << guest.error();
  EXPECT_EQ(count_named("torn down later"), 1U);
}

// What a user without rights sees, found out in a child that gives up its own.
TEST(FindLiveTest, AnotherUsersGuestIsListedWithTheReason) {
  MICROVMI_NEEDS_QEMU();
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  QemuOptions options = still();
  options.name = "not yours";
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(2);
    const auto process = process_of(pid_of(**guest));
    const bool told = process && process->line.name == "not yours" && process->unreadable &&
                      process->unreadable->code == Errc::permission_denied &&
                      !process->unreadable->hint.empty();
    ::_exit(told && count_named("not yours") == 1 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace microvmi::qemu
