// SPDX-License-Identifier: Apache-2.0
// The client against a real QEMU; what is right comes from the tests' own client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "qemu/qmp.hpp"
#include "qemu/query.hpp"
#include "qemu/run_control.hpp"
#include "support/qemu_guest.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using test::QemuGuest;
using test::QemuOptions;
using testing::HasSubstr;

const Command kStatus{.name = "query-status"};

Wait patient() { return Wait::at_most(20s); }

// A guest whose CPU never runs, so that it costs nothing.
QemuOptions still(std::vector<std::string> args = {}) {
  return {.memory = "64M", .started = false, .args = std::move(args)};
}

std::uint32_t pid_of(const QemuGuest& guest) { return static_cast<std::uint32_t>(guest.pid()); }

Monitor monitor_of(const QemuGuest& guest) {
  return {.endpoint = {.address = guest.qmp_path()}, .pid = pid_of(guest)};
}

std::string status_of(const Monitor& monitor) {
  const auto answer = ask(monitor, kStatus, patient());
  if (!answer) return to_text(answer.error());
  const auto status = parse_status(*answer);
  return status ? status->name : to_text(status.error());
}

TEST(QmpLiveTest, EachQueryIsUnderstood) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still({"-uuid", "5a7a3b1e-0000-0000-0000-000000000001", "-smp", "2"});
  options.name = "a name,, and more";
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  auto qmp = Qmp::connect(monitor_of(**guest), patient());
  ASSERT_TRUE(qmp) << to_text(qmp.error());
  const auto answer = [&qmp](const char* command) {
    auto got = qmp->execute({.name = command}, patient());
    EXPECT_TRUE(got) << to_text(got.error());
    return got.value_or(nlohmann::json());
  };
  EXPECT_EQ(parse_status(answer("query-status"))->name, "prelaunch");
  EXPECT_EQ(*parse_name(answer("query-name")), "a name, and more");
  EXPECT_EQ(*parse_uuid(answer("query-uuid")), "5a7a3b1e-0000-0000-0000-000000000001");
  const auto version = (*guest)->truth().execute("query-version");
  ASSERT_TRUE(version) << version.error();
  EXPECT_EQ(parse_version(answer("query-version"))->major, (*version)["qemu"]["major"]);
  EXPECT_EQ(parse_cpus(answer("query-cpus-fast"))->size(), 2U);
  EXPECT_EQ(parse_memory_sizes(answer("query-memory-size-summary"))->base, 64U << 20);
  const auto backends = parse_memdev(answer("query-memdev"));
  ASSERT_TRUE(backends);
  ASSERT_EQ(backends->size(), 1U);
  EXPECT_EQ(backends->front().id, "pc.ram");
  EXPECT_EQ(qmp->execute({.name = "query-nonsense"}, patient()).error().code, Errc::not_supported);
  EXPECT_EQ(qmp->execute({.name = "query-status", .arguments = {{"x", 1}}}, patient()).error().code,
            Errc::io);
  EXPECT_THAT(*qmp->human("info status", patient()), HasSubstr("prelaunch"));
}

TEST(QmpLiveTest, AMonitorIsFreeAgainAfterEachCommand) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still());
  ASSERT_TRUE(guest) << guest.error();
  for (int i = 0; i != 50; ++i) ASSERT_EQ(status_of(monitor_of(**guest)), "prelaunch") << i;
}

TEST(QmpLiveTest, AnotherClientIsNamed) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still());
  ASSERT_TRUE(guest) << guest.error();
  auto other = test::QmpTruth::connect((*guest)->qmp_path());
  ASSERT_TRUE(other) << other.error();
  const auto answer = ask(monitor_of(**guest), kStatus, patient());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::busy);
  EXPECT_THAT(answer.error().message, HasSubstr("process " + std::to_string(::getpid()) + " ("));
  other->close();
  EXPECT_EQ(status_of(monitor_of(**guest)), "prelaunch");
}

TEST(QmpLiveTest, ASocketHandedOverIsTheQemusOwn) {
  MICROVMI_NEEDS_QEMU();
  const test::TempFolder folder;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder.path() / "handed").string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);  // inherited, as libvirt does it
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  const auto guest =
      QemuGuest::start(still({"-chardev", "socket,id=m,server=on,wait=off,fd=" + std::to_string(fd),
                              "-mon", "chardev=m,mode=control"}));
  ::close(fd);
  ASSERT_TRUE(guest) << guest.error();
  const Endpoint handed{.address = folder.path() / "handed"};
  EXPECT_EQ(status_of({.endpoint = handed, .pid = pid_of(**guest)}), "prelaunch");
  // The process that made the socket is not the one that answers, but it did listen.
  const auto other = QemuGuest::start(still());
  ASSERT_TRUE(other) << other.error();
  const auto answer = ask({.endpoint = handed, .pid = pid_of(**other)}, kStatus, patient());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::not_found) << answer.error().message;
}

TEST(QmpLiveTest, TheMonitorOfAnotherQemuIsRefused) {
  MICROVMI_NEEDS_QEMU();
  const auto one = QemuGuest::start(still());
  const auto two = QemuGuest::start(still());
  ASSERT_TRUE(one && two);
  Monitor mixed = monitor_of(**one);
  mixed.pid = pid_of(**two);
  EXPECT_EQ(ask(mixed, kStatus, patient()).error().code, Errc::not_found);
}

std::uint16_t free_port() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

TEST(QmpLiveTest, TcpOnLoopbackInEachSpelling) {
  MICROVMI_NEEDS_QEMU();
  const auto other = QemuGuest::start(still());
  ASSERT_TRUE(other) << other.error();
  for (const char* host : {"127.0.0.1", "localhost", ""}) {
    const std::uint16_t port = free_port();
    const auto guest = QemuGuest::start(still(
        {"-qmp", std::string("tcp:") + host + ":" + std::to_string(port) + ",server=on,wait=off"}));
    ASSERT_TRUE(guest) << guest.error();
    const Endpoint endpoint{.kind = Endpoint::Kind::tcp, .address = host, .port = port};
    EXPECT_EQ(status_of({.endpoint = endpoint, .pid = pid_of(**guest)}), "prelaunch") << host;
    EXPECT_EQ(ask({.endpoint = endpoint, .pid = pid_of(**other)}, kStatus, patient()).error().code,
              Errc::not_found);
  }
}

TEST(QmpLiveTest, OtherKindsOfMonitorSockets) {
  MICROVMI_NEEDS_QEMU();
  const std::string abstract = "microvmi-test-" + std::to_string(::getpid());
  const auto guest = QemuGuest::start(
      still({"-chardev", "socket,id=a,path=" + abstract + ",abstract=on,server=on,wait=off", "-mon",
             "chardev=a,mode=control", "-chardev", "socket,id=p,path=pretty,server=on,wait=off",
             "-mon", "chardev=p,mode=control,pretty=on", "-chardev",
             "socket,id=h,path=hmp,server=on,wait=off", "-mon", "chardev=h,mode=readline"}));
  ASSERT_TRUE(guest) << guest.error();
  Monitor monitor{.pid = pid_of(**guest)};
  monitor.endpoint = {.kind = Endpoint::Kind::unix_abstract, .address = abstract};
  EXPECT_EQ(status_of(monitor), "prelaunch");
  const std::string cwd = "/proc/" + std::to_string((*guest)->pid()) + "/cwd/";
  monitor.endpoint = {.address = cwd + "pretty"};
  EXPECT_EQ(status_of(monitor), "prelaunch");
  monitor.endpoint = {.address = cwd + "hmp"};
  const auto human = ask(monitor, kStatus, patient());
  ASSERT_FALSE(human);
  EXPECT_EQ(human.error().code, Errc::protocol);
  EXPECT_THAT(human.error().hint, HasSubstr("-qmp"));
}

TEST(QmpLiveTest, APathTooLongForAnAddress) {
  MICROVMI_NEEDS_QEMU();
  const test::TempFolder folder;
  const auto deep = folder.path() / std::string(150, 'd') / std::string(150, 'e');
  std::filesystem::create_directories(deep);
  QemuOptions options = still();
  options.monitor = test::Monitor::relative;
  options.cwd = deep;
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  EXPECT_EQ(status_of({.endpoint = {.address = deep / "qmp"}, .pid = pid_of(**guest)}),
            "prelaunch");
}

TEST(QmpLiveTest, AStoppedProcessAndADeadOneAreToldApart) {
  MICROVMI_NEEDS_QEMU();
  const auto guest = QemuGuest::start(still());
  ASSERT_TRUE(guest) << guest.error();
  const Monitor monitor = monitor_of(**guest);
  auto open = Qmp::connect(monitor, patient());
  ASSERT_TRUE(open) << to_text(open.error());
  ASSERT_EQ(::kill((*guest)->pid(), SIGSTOP), 0);
  EXPECT_EQ(open->execute(kStatus, Wait::at_most(100ms)).error().code, Errc::timed_out);
  const auto stopped = ask(monitor, kStatus, patient());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::busy);
  EXPECT_THAT(stopped.error().message, HasSubstr("stopped"));
  ASSERT_EQ(::kill((*guest)->pid(), SIGCONT), 0);
  EXPECT_EQ(status_of(monitor), "prelaunch");
  auto second = Qmp::connect(monitor, patient());
  ASSERT_TRUE(second) << to_text(second.error());
  (*guest)->kill();
  EXPECT_EQ(second->execute(kStatus, patient()).error().code, Errc::disconnected);
  EXPECT_EQ(ask(monitor, kStatus, patient()).error().code, Errc::disconnected);
}

TEST(QmpLiveTest, SeveralGuestsAtOnce) {
  MICROVMI_NEEDS_QEMU();
  std::vector<std::unique_ptr<QemuGuest>> guests;
  std::vector<Question> questions;
  for (const char* name : {"one", "two", "three"}) {
    QemuOptions options = still();
    options.name = name;
    auto guest = QemuGuest::start(options);
    ASSERT_TRUE(guest) << guest.error();
    questions.push_back({monitor_of(**guest), {.name = "query-name"}});
    guests.push_back(*std::move(guest));
  }
  const auto answers = ask_all(questions, 20s, patient());
  ASSERT_EQ(answers.size(), 3U);
  for (const auto& answer : answers) ASSERT_TRUE(answer) << to_text(answer.error());
  EXPECT_EQ(*parse_name(*answers[0]), "one");
  EXPECT_EQ(*parse_name(*answers[1]), "two");
  EXPECT_EQ(*parse_name(*answers[2]), "three");
}

TEST(QmpLiveTest, PauseAndResumeAreSeenByQemu) {
  MICROVMI_NEEDS_QEMU();
  QemuOptions options = still();
  options.started = true;
  const auto guest = QemuGuest::start(options);
  ASSERT_TRUE(guest) << guest.error();
  QmpRunControl control(monitor_of(**guest));
  ASSERT_TRUE(*control.running());
  ASSERT_TRUE(control.pause());
  EXPECT_FALSE(*(*guest)->running());
  ASSERT_TRUE(control.resume());
  EXPECT_TRUE(*(*guest)->running());
  ASSERT_TRUE((*guest)->stop());
  EXPECT_FALSE(*control.running());
}

}  // namespace
}  // namespace microvmi::qemu
