// SPDX-License-Identifier: Apache-2.0
// Opening: the socket file, who may connect, which guest it is, which dialect it speaks.
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr auto kShort = 300ms;

class KvmSimulatedOpen : public EachDialect {};

TEST_P(KvmSimulatedOpen, AGuestIsOpened) {
  OpenLine line(KernelSetup{.dialect = GetParam()});
  ASSERT_TRUE(line.vm);
  EXPECT_EQ(line.vm->driver_type(), DriverType::kvm);
  EXPECT_EQ(line.vm->info().vm_name, "simulated");
  EXPECT_EQ(line.vm->info().vcpus, 2U);
  EXPECT_EQ(to_integer(line.vm->end_of_memory()), (1ULL << 32) + 0x100000);
  EXPECT_FALSE(line.memory().map()->exact);
  EXPECT_THAT(line.close(), testing::IsEmpty());
}

TEST_P(KvmSimulatedOpen, ByteByByte) {
  OpenLine line(PeerOptions{.kernel = {.dialect = GetParam()}, .drip = 10us});
  ASSERT_TRUE(line.vm);
  std::vector<std::byte> bytes(100);
  EXPECT_TRUE(line.memory().read(Gpa{0x1234}, bytes));
}

MICROVMI_EACH_DIALECT(KvmSimulatedOpen);

std::string failure(const std::expected<Vm, InitError>& opened, Errc code) {
  if (opened) {
    ADD_FAILURE() << "it opened";
    return {};
  }
  EXPECT_EQ(opened.error().code, code) << to_text(opened.error());
  return to_text(opened.error());
}

TEST(KvmSimulatedOpenTest, NobodyConnects) {
  const TempFolder folder;
  const auto path = folder.path() / "kvmi";
  std::string log;
  const auto opened = Line::open({.transport = UnixSocket{.path = path}, .timeout = kShort},
                                 {.log = [&](std::string_view line) { log += line; }});
  EXPECT_THAT(failure(opened, Errc::timed_out),
              AllOf(HasSubstr("connect"), HasSubstr(path.native())));
  EXPECT_THAT(log, HasSubstr("waiting for QEMU to connect to " + path.native()));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(KvmSimulatedOpenTest, AStopEndsTheWait) {
  const TempFolder folder;
  std::stop_source source;
  const std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  const auto opened =
      Line::open({.transport = UnixSocket{.path = folder.path() / "kvmi"}, .timeout = kPatient},
                 {.wait = {.stop = source.get_token()}});
  failure(opened, Errc::cancelled);
}

TEST(KvmSimulatedOpenTest, TheNameIsChecked) {
  Line line(PeerOptions{.name = "other guest"});
  auto params = line.params();
  params.vm_name = "wanted";
  params.timeout = kShort;
  const auto opened = Line::open(params);
  ASSERT_FALSE(opened);
  EXPECT_THAT(to_text(opened.error()), AllOf(HasSubstr("wanted"), HasSubstr("other guest")));
  params.vm_name = "other guest";
  params.timeout = kPatient;
  const auto right = Line::open(params);
  ASSERT_TRUE(right) << to_text(right.error());
}

TEST(KvmSimulatedOpenTest, TwoGuestsOnOnePathAreToldApart) {
  Line first(PeerOptions{.name = "first"});
  Peer second({.path = first.path(), .name = "second"}, usual_guest(5));
  for (const char* name : {"second", "first", "second"}) {
    auto params = first.params();
    params.vm_name = name;
    const auto opened = Line::open(params);
    ASSERT_TRUE(opened) << to_text(opened.error());
    EXPECT_EQ(opened->info().vm_name, name);
    EXPECT_EQ(opened->info().vcpus, name == std::string("second") ? 5U : 2U);
  }
}

TEST(KvmSimulatedOpenTest, ASilentOneDoesNotKeepTheOtherOut) {
  Line silent(PeerOptions{.greeting = Greeting::silent});
  Peer half({.path = silent.path(), .greeting = Greeting::half});
  Peer good({.path = silent.path(), .name = "good"});
  const auto opened = silent.open();
  ASSERT_TRUE(opened) << to_text(opened.error());
  EXPECT_EQ(opened->info().vm_name, "good");
}

TEST(KvmSimulatedOpenTest, BadGreetingsEndAtTheDeadline) {
  for (const Greeting greeting : {Greeting::silent, Greeting::hangup, Greeting::half,
                                  Greeting::half_then_hangup, Greeting::deaf, Greeting::stalling}) {
    const Line line(PeerOptions{.greeting = greeting});
    auto params = line.params();
    params.timeout = kShort;
    EXPECT_FALSE(Line::open(params)) << static_cast<int>(greeting);
  }
}

TEST(KvmSimulatedOpenTest, TheSizeOfTheHandshake) {
  for (const std::uint32_t size : {32U, 96U, 104U, 176U, 5192U, 65536U}) {
    const Line line(PeerOptions{.struct_size = size});
    const auto opened = line.open();
    ASSERT_TRUE(opened) << size << ": " << to_text(opened.error());
  }
  for (const std::uint32_t size : {4U, 31U, 65537U, 0xffffffffU}) {
    const Line line(PeerOptions{.struct_size = size});
    auto params = line.params();
    params.timeout = kShort;
    EXPECT_FALSE(Line::open(params)) << size;
  }
}

// sha1sum of "open sesame\n"
constexpr std::array<std::uint8_t, 20> kCookie{0x08, 0x07, 0xdf, 0x4e, 0x0c, 0x54, 0x45,
                                               0xb0, 0x05, 0x09, 0x17, 0xc7, 0x0e, 0xeb,
                                               0xc9, 0xa6, 0xf7, 0x47, 0x4f, 0x84};

TEST(KvmSimulatedOpenTest, TheSecretIsHashedAsItIs) {
  Line line(PeerOptions{.cookie = kCookie});
  auto params = line.params();
  params.secret = line.folder.path() / "secret";
  std::ofstream(*params.secret) << "open sesame\n";
  const auto opened = Line::open(params);
  ASSERT_TRUE(opened) << to_text(opened.error());
  EXPECT_EQ(line.peer.look([](auto&, auto& record) { return record.cookie; }), kCookie);
}

TEST(KvmSimulatedOpenTest, AWrongSecretIsNamedAsACause) {
  Line line(PeerOptions{.cookie = kCookie});
  auto params = line.params();
  params.timeout = kShort;
  EXPECT_THAT(to_text(Line::open(params).error()), HasSubstr("secret"));
  params.secret = line.folder.path() / "secret";
  std::ofstream(*params.secret) << "open sesame";
  EXPECT_THAT(to_text(Line::open(params).error()), HasSubstr("secret"));
  params.secret = line.folder.path() / "missing";
  EXPECT_THAT(to_text(Line::open(params).error()), HasSubstr("missing"));
  std::ofstream(line.folder.path() / "empty") << "";
}

TEST(KvmSimulatedOpenTest, WithoutASecretTheHashIsZero) {
  OpenLine line;
  EXPECT_EQ(line.peer.look([](auto&, auto& record) { return record.cookie; }),
            (std::array<std::uint8_t, 20>{}));
}

TEST(KvmSimulatedOpenTest, DialectsThatAreNotSpokenAreRefusedAndNamed) {
  int number = 0;
  for (const KernelSetup& setup :
       {KernelSetup{.version = 0}, KernelSetup{.knows_family_ids = false},
        KernelSetup{.dialect = Dialect::v12, .knows_v10_page_access = true},
        KernelSetup{.second_word = 77}}) {
    SCOPED_TRACE(number++);
    const Line line(setup);
    auto params = line.params();
    params.timeout = 2s;
    const auto opened = Line::open(params);
    const std::string text = failure(opened, Errc::not_supported);
    EXPECT_THAT(text, testing::AnyOf(HasSubstr("version"), HasSubstr("dialect"))) << text;
  }
}

TEST(KvmSimulatedOpenTest, ADeniedSinglestepIsStillV7) {
  const OpenLine line(KernelSetup{.refuse = {{Cmd::control_singlestep, kPerm}}});
  EXPECT_TRUE(line.vm);
}

TEST(KvmSimulatedOpenTest, TheSocketFileIsOurOwnersAlone) {
  const TempFolder folder;
  const auto path = folder.path() / "kvmi";
  std::stop_source source;
  std::jthread opener([&] {
    static_cast<void>(Line::open({.transport = UnixSocket{.path = path}, .timeout = kPatient},
                                 {.wait = {.stop = source.get_token()}}));
  });
  struct stat info{};
  const auto end = std::chrono::steady_clock::now() + kPatient;
  while (::lstat(path.c_str(), &info) != 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  source.request_stop();
  opener.join();
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(path)));
}

TEST(KvmSimulatedOpenTest, AGroupMayBeLetIn) {
  const group* own = ::getgrgid(::getegid());
  if (own == nullptr) GTEST_SKIP() << "this process's group has no name";
  const TempFolder folder;
  const auto path = folder.path() / "kvmi";
  std::stop_source source;
  std::jthread opener([&, name = std::string(own->gr_name)] {
    static_cast<void>(
        Line::open({.transport = UnixSocket{.path = path, .group = name}, .timeout = kPatient},
                   {.wait = {.stop = source.get_token()}}));
  });
  struct stat info{};
  const auto end = std::chrono::steady_clock::now() + kPatient;
  while ((::lstat(path.c_str(), &info) != 0 || (info.st_mode & 0777U) != 0660U) &&
         std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(1ms);
  EXPECT_EQ(info.st_mode & 0777U, 0660U);
  EXPECT_EQ(info.st_gid, ::getegid());
  source.request_stop();
  opener.join();
  const auto unknown = Line::open(
      {.transport = UnixSocket{.path = path, .group = "no-such-group-here"}, .timeout = kShort});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(to_text(unknown.error()), HasSubstr("no-such-group-here"));
}

int bind_to(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

Errc refusal(const std::filesystem::path& path) {
  const auto opened = Line::open({.transport = UnixSocket{.path = path}, .timeout = kShort});
  EXPECT_FALSE(opened);
  return opened ? Errc::none : opened.error().code;
}

TEST(KvmSimulatedOpenTest, NoFileIsReplaced) {
  const TempFolder folder;
  const auto path = folder.path() / "file";
  std::ofstream(path) << "precious";
  EXPECT_NE(refusal(path), Errc::timed_out);
  std::string content;
  std::ifstream(path) >> content;
  EXPECT_EQ(content, "precious");
  const auto link = folder.path() / "link";
  std::filesystem::create_symlink(path, link);
  EXPECT_NE(refusal(link), Errc::timed_out);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_NE(refusal(folder.path()), Errc::timed_out);
  EXPECT_NE(refusal(folder.path() / std::string(120, 'x')), Errc::timed_out);
  EXPECT_EQ(refusal(folder.path() / "missing" / "kvmi"), Errc::not_found);
}

TEST(KvmSimulatedOpenTest, ALiveSocketIsLeftAndADeadOneReplaced) {
  Line line;
  const int fd = bind_to(line.path());
  ASSERT_EQ(::listen(fd, 8), 0);
  EXPECT_EQ(refusal(line.path()), Errc::busy);
  EXPECT_TRUE(std::filesystem::is_socket(line.path()));
  ::close(fd);
  EXPECT_TRUE(std::filesystem::is_socket(line.path()));
  const auto opened = line.open();
  EXPECT_TRUE(opened) << to_text(opened.error());
}

}  // namespace
}  // namespace microvmi::test::kvmi
