// SPDX-License-Identifier: Apache-2.0
// Which process is meant: names, renamed programs, wrong pids, guests that come and go.
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "guest/live.hpp"
#include "microvmi/dump.hpp"

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Name {
  const char* test;
  const char* option;  // what follows -name
  const char* name;    // what the guest is called then
};

void PrintTo(const Name& one, std::ostream* out) { *out << one.test; }

class NameTest : public testing::TestWithParam<Name> {};

TEST_P(NameTest, TheGuestIsFoundByIt) {
  MICROVMI_NEEDS_QEMU();
  const auto other = QemuGuest::start({.memory = "32M", .name = "another", .started = false});
  ASSERT_TRUE(other) << other.error();
  const auto guest =
      QemuGuest::start({.memory = "64M", .name = GetParam().option, .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_name(GetParam().name);
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_EQ(vm->info().pid, static_cast<std::uint32_t>((*guest)->pid()));
  EXPECT_EQ(vm->info().vm_name, GetParam().name);
  EXPECT_EQ(vm->end_of_memory(), Gpa{64 * kMiB});

  std::vector<DriverType> ways;
  for (const Found& one : scan())
    if (one.pid == vm->info().pid && one.vm_name == GetParam().name) ways.push_back(one.driver);
  EXPECT_EQ(ways, (std::vector{DriverType::qemu, DriverType::memflow})) << "preferred first";
}

INSTANTIATE_TEST_SUITE_P(
    Names, NameTest,
    testing::Values(Name{"plain", "mvmi-plain", "mvmi-plain"},
                    Name{"spaces", "mvmi two words", "mvmi two words"},
                    Name{"commas", "mvmi,,a,,b", "mvmi,a,b"},
                    Name{"guest_is", "guest=mvmi-guest,debug-threads=on", "mvmi-guest"},
                    Name{"guest_is_last", "debug-threads=on,guest=mvmi,,last", "mvmi,last"},
                    Name{"equals", "mvmi-x,process=some,debug-threads=off", "mvmi-x"}),
    [](const auto& one) { return std::string(one.param.test); });

TEST(FindingTest, SeveralGuestsOfOneNameAreRefusedAndListed) {
  MICROVMI_NEEDS_QEMU();
  const QemuOptions options{.memory = "32M", .name = "mvmi-twin", .started = false};
  const auto one = QemuGuest::start(options);
  ASSERT_TRUE(one) << one.error();
  const auto two = QemuGuest::start(options);
  ASSERT_TRUE(two) << two.error();
  const auto vm = open_name("mvmi-twin");
  ASSERT_FALSE(vm);
  const std::string text = to_text(vm.error());
  EXPECT_THAT(text, HasSubstr(std::to_string((*one)->pid())));
  EXPECT_THAT(text, HasSubstr(std::to_string((*two)->pid())));
  EXPECT_TRUE(open_pid((*one)->pid())) << "a pid is unambiguous";
}

TEST(FindingTest, ANameBesideAPidMustBeThatGuests) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "32M", .name = "mvmi-right", .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const auto open = [&](const char* name) {
    return init(
        DriverType::memflow,
        DriverInitParams{.memflow = MemflowInitParams{
                             .args = QemuProcfsParams{
                                 .vm_name = name,
                                 .pid = *Pid::of(static_cast<std::uint32_t>((*guest)->pid()))}}});
  };
  EXPECT_TRUE(open("mvmi-right"));
  const auto wrong = open("mvmi-wrong");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(to_text(wrong.error()), HasSubstr("mvmi-right"));
}

TEST(FindingTest, ARenamedProgram) {
  MICROVMI_NEEDS_QEMU();
  const TempFolder folder;
  const auto program = folder.path() / "bin" / "my hypervisor";
  std::filesystem::create_directory(program.parent_path());
  const auto original = std::filesystem::canonical(*find_program(kQemu));
  std::filesystem::copy_file(original, program);
  // It looks for its modules and firmware beside the folder that it is in.
  for (const char* beside : {"lib", "share"})
    std::filesystem::create_symlink(original.parent_path().parent_path() / beside,
                                    folder.path() / beside);
  const auto guest = QemuGuest::start(
      {.memory = "64M", .name = "mvmi-renamed", .started = false, .program = program});
  ASSERT_TRUE(guest) << guest.error();
  for (const auto& vm : {open_pid((*guest)->pid()), open_name("mvmi-renamed")}) {
    ASSERT_TRUE(vm) << to_text(vm.error());
    EXPECT_EQ(vm->end_of_memory(), Gpa{64 * kMiB});
  }
}

TEST(FindingTest, AProgramStartedThroughALink) {
  MICROVMI_NEEDS_QEMU();
  const TempFolder folder;
  const auto program = folder.path() / "kvm";
  std::filesystem::create_symlink(*find_program(kQemu), program);
  const auto guest = QemuGuest::start(
      {.memory = "64M", .name = "mvmi-linked", .started = false, .program = program});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_name("mvmi-linked");
  ASSERT_TRUE(vm) << to_text(vm.error());
  EXPECT_EQ(vm->info().pid, static_cast<std::uint32_t>((*guest)->pid()));
}

TEST(FindingTest, APidThatIsNoQemu) {
  const auto vm = open_pid(::getpid());
  ASSERT_FALSE(vm);
  EXPECT_THAT(to_text(vm.error()), HasSubstr(std::to_string(::getpid())));
  EXPECT_FALSE(open_pid(4'194'304)) << "the highest pid there can be";
}

TEST(FindingTest, ANameThatNobodyHas) {
  const auto vm = open_name("mvmi-nobody-is-called-so");
  ASSERT_FALSE(vm);
  EXPECT_EQ(vm.error().code, Errc::not_found);
}

// A child of this test under a chosen pid; -1 where the system does not let us choose.
pid_t child_with_pid(pid_t pid) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<std::uint64_t>(&pid);
  arguments.set_tid_size = 1;
  const auto child = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof(arguments)));
  if (child == 0) {
    ::sleep(60);
    ::_exit(0);
  }
  return child;
}

TEST(FindingTest, APidThatAnotherProcessGot) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M", .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const pid_t pid = (*guest)->pid();
  const auto vm = open_pid(pid);
  ASSERT_TRUE(vm) << to_text(vm.error());
  ASSERT_TRUE(vm->memory().read_value<std::uint64_t>(Gpa{0}));
  (*guest)->kill();
  const pid_t child = child_with_pid(pid);
  if (child < 0) GTEST_SKIP() << "cannot choose a pid: needs CAP_CHECKPOINT_RESTORE";
  const auto read = vm->memory().read_value<std::uint64_t>(Gpa{0});
  const auto again = open_pid(pid);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ASSERT_FALSE(read) << "the memory of another process";
  EXPECT_EQ(read.error().code, Errc::disconnected);
  EXPECT_FALSE(again) << "that process is no QEMU";
}

TEST(DyingTest, AViewOfADeadGuestStaysAndReadsEnd) {
  MICROVMI_NEEDS_TINY_GUEST();
  const auto guest =
      TinyGuest::boot({.memory = "64M", .backend = RamBackend::memfd}, {.stride = 1});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid((*guest)->qemu().pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  const View view = vm->memory().view(Gpa{16 * kMiB}, kPageSize);
  ASSERT_TRUE(view);
  (*guest)->qemu().kill();
  const Page page = (*guest)->page_at(16 * kMiB);
  EXPECT_TRUE(std::ranges::equal(view.bytes(), page));
  Page into{};
  const auto read = vm->memory().read(Gpa{16 * kMiB}, into);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::disconnected);
}

TEST(DyingTest, AZombieIsDead) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M", .started = false});
  ASSERT_TRUE(guest) << guest.error();
  const auto vm = open_pid((*guest)->pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  (*guest)->kill_unreaped();
  const auto read = vm->memory().read_value<std::uint64_t>(Gpa{0});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::disconnected);
  EXPECT_FALSE(open_pid((*guest)->pid()));
}

TEST(DyingTest, InTheMiddleOfADump) {
  MICROVMI_NEEDS_TINY_GUEST();
  const TempFolder folder;
  const auto file = folder.path() / "dump";
  for (const RamBackend backend : {RamBackend::anonymous, RamBackend::memfd}) {
    const auto guest = TinyGuest::boot({.memory = "256M", .backend = backend});
    ASSERT_TRUE(guest) << guest.error();
    auto vm = open_pid((*guest)->qemu().pid());
    ASSERT_TRUE(vm) << to_text(vm.error());
    DumpOptions options;
    // Killed by the first call, which comes before the first byte is copied.
    options.progress = [&](const DumpProgress&) { (*guest)->qemu().kill(); };
    const auto report = dump(*vm, file, options);
    ASSERT_FALSE(report) << name_of(backend);
    EXPECT_EQ(report.error().code, Errc::disconnected) << to_text(report.error());
    EXPECT_FALSE(std::filesystem::exists(file)) << "half a dump has the name of a whole one";
    EXPECT_THAT(report.error().message, HasSubstr(report.error().partial.string()));
  }
}

TEST(DyingTest, ItsMonitorIsGoneToo) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start({.memory = "64M"});
  ASSERT_TRUE(guest) << guest.error();
  auto vm = open_pid((*guest)->pid());
  ASSERT_TRUE(vm) << to_text(vm.error());
  ASSERT_TRUE(vm->pause());
  (*guest)->kill();
  const auto resumed = vm->resume();
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Errc::disconnected) << to_text(resumed.error());
  EXPECT_FALSE(vm->memory().refresh());
}

}  // namespace
}  // namespace microvmi::test
