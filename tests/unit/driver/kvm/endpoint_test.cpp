// SPDX-License-Identifier: Apache-2.0
// The socket that QEMU connects to: whose it is, who may connect, which guest is taken.
#include "driver/kvm/endpoint.hpp"

#include <gmock/gmock.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "support/temp_folder.hpp"
#include "unit/driver/kvm/bytes.hpp"

namespace microvmi::kvm {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  path.string().copy(out.sun_path, sizeof(out.sun_path) - 1);
  return out;
}

host::Descriptor connect_to(const std::filesystem::path& path) {
  host::Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(fd.get(), generic, sizeof(address)) != 0) return {};
  return fd;
}

// By the calls themselves, for those of libc change the user of all threads.
host::Descriptor connect_as_nobody(const std::filesystem::path& path) {
  constexpr uid_t kNobody = 65534;
  constexpr uid_t kSame = ~uid_t{0};
  const uid_t own = ::geteuid();
  EXPECT_EQ(::syscall(SYS_setresuid, kSame, kNobody, kSame), 0);
  host::Descriptor fd = connect_to(path);
  EXPECT_EQ(::syscall(SYS_setresuid, kSame, own, kSame), 0);
  return fd;
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

Bytes greeting(const std::string& name) {
  Bytes out(96);
  test::put(out, 0, 4, 96);
  for (std::size_t i = 0; i < name.size(); ++i)
    test::put(out, 32 + i, 1, static_cast<unsigned char>(name[i]));
  return out;
}

class KvmiEndpoint : public testing::Test {
 protected:
  [[nodiscard]] KvmInitParams params(std::optional<std::string> group = std::nullopt) const {
    return {.transport = UnixSocket{.path = path_, .group = std::move(group)}};
  }
  [[nodiscard]] Endpoint listen() const {
    auto out = Endpoint::listen(params());
    EXPECT_TRUE(out) << to_text(out.error());
    return *std::move(out);
  }

  test::TempFolder folder_;
  std::filesystem::path path_ = folder_.path() / "introspector";
};

TEST_F(KvmiEndpoint, TheSocketIsItsOwnersAloneAndGoesAtTheEnd) {
  {
    const Endpoint endpoint = listen();
    EXPECT_EQ(mode_of(path_), 0600);
    EXPECT_EQ(endpoint.name(), path_.string());
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(KvmiEndpoint, AGroupMayBeGivenAccess) {
  const struct group* own = ::getgrgid(::getegid());
  if (!own) GTEST_SKIP() << "this group has no name";
  const auto endpoint = Endpoint::listen(params(own->gr_name));
  ASSERT_TRUE(endpoint) << to_text(endpoint.error());
  EXPECT_EQ(mode_of(path_), 0660);
  const auto unknown = Endpoint::listen(params("no-such-group-at-all"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::invalid_argument);
}

TEST_F(KvmiEndpoint, NothingThatIsAliveOrNoSocketIsReplaced) {
  std::ofstream(path_) << "mine";
  const auto file = Endpoint::listen(params());
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, Errc::invalid_argument);
  EXPECT_EQ(std::filesystem::file_size(path_), 4U);
  std::filesystem::remove(path_);

  const Endpoint alive = listen();
  const auto second = Endpoint::listen(params());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::busy);
  const auto arrival = alive.accept({}, Wait::at_most(10ms), {});
  EXPECT_THAT(arrival.error().message, testing::Not(HasSubstr("sent away")))
      << "the look whether it is alive is no connection";
  EXPECT_TRUE(connect_to(path_)) << "the first one still listens";
}

TEST_F(KvmiEndpoint, ASocketThatIsBoundAndDoesNotListenYetIsAlive) {
  const host::Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(path_);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const auto refused = Endpoint::listen(params());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::busy);
}

TEST_F(KvmiEndpoint, ADeadSocketIsReplaced) {
  {
    const host::Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = address_of(path_);
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  const Endpoint endpoint = listen();
  EXPECT_TRUE(connect_to(path_));
}

TEST_F(KvmiEndpoint, WhatOthersPutThereMeanwhileStays) {
  {
    const Endpoint endpoint = listen();
    std::filesystem::remove(path_);
    std::ofstream(path_) << "of others";
  }
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(KvmiEndpoint, APathThatIsTooLongIsRefusedAndNotCut) {
  path_ = folder_.path() / std::string(120, 'x');
  const auto refused = Endpoint::listen(params());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(KvmiEndpoint, ItSaysWhereItWaitsAndForHowLong) {
  const Endpoint endpoint = listen();
  std::vector<std::string> lines;
  const auto arrival = endpoint.accept({}, Wait::at_most(20ms),
                                       [&](std::string_view line) { lines.emplace_back(line); });
  ASSERT_FALSE(arrival);
  EXPECT_EQ(arrival.error().code, Errc::timed_out);
  EXPECT_THAT(arrival.error().message, HasSubstr(path_.string()));
  EXPECT_THAT(lines, ElementsAre(HasSubstr("waiting for QEMU to connect to " + path_.string())));
}

TEST_F(KvmiEndpoint, AStopEndsTheWaitAtOnce) {
  const Endpoint endpoint = listen();
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  const auto arrival = endpoint.accept({}, Wait{.stop = stop.get_token()}, {});
  ASSERT_FALSE(arrival);
  EXPECT_EQ(arrival.error().code, Errc::cancelled);
}

TEST_F(KvmiEndpoint, OfSeveralThatConnectTheOneThatIsWantedIsTaken) {
  const Endpoint endpoint = listen();
  const host::Descriptor silent = connect_to(path_);
  const host::Descriptor other = connect_to(path_);
  const host::Descriptor wanted = connect_to(path_);
  ASSERT_TRUE(native::send(other.get(), greeting("other")));
  const Bytes bytes = greeting("wanted");
  ASSERT_TRUE(native::send(wanted.get(), std::span(bytes).first(40)));
  std::vector<std::string> lines;
  const auto log = [&](std::string_view line) {
    lines.emplace_back(line);
    // The rest comes when the other one was sent away.
    if (lines.size() != 2) return;
    EXPECT_TRUE(native::send(wanted.get(), std::span(bytes).subspan(40)));
  };
  const auto arrival = endpoint.accept({.vm_name = "wanted"}, Wait::at_most(30s), log);
  ASSERT_TRUE(arrival) << to_text(arrival.error());
  EXPECT_EQ(arrival->greeting.name, "wanted");
  EXPECT_EQ(arrival->pid, static_cast<std::uint32_t>(::getpid()));
  EXPECT_THAT(lines,
              ElementsAre(HasSubstr("waiting"), HasSubstr("'other'"), HasSubstr("'wanted'")));
  std::array<std::byte, 24> answer{};
  ASSERT_EQ(native::receive(wanted.get(), answer), 24U);
  EXPECT_EQ(answer[0], std::byte{24});
  EXPECT_FALSE(native::receive(other.get(), answer)) << "it was hung up on";
}

TEST_F(KvmiEndpoint, TheNamesOfTheOthersAreToldInTheEnd) {
  const Endpoint endpoint = listen();
  const host::Descriptor other = connect_to(path_);
  ASSERT_TRUE(native::send(other.get(), greeting("win\n10")));
  const auto arrival = endpoint.accept({.vm_name = "win7"}, Wait::at_most(200ms), {});
  ASSERT_FALSE(arrival);
  EXPECT_EQ(arrival.error().code, Errc::not_found);
  EXPECT_THAT(arrival.error().message, HasSubstr("win7"));
  EXPECT_THAT(arrival.error().message, HasSubstr("'win\\n10'")) << "a name adds no line";
}

TEST_F(KvmiEndpoint, NonsenseIsSentAwayAndTheWaitGoesOn) {
  const Endpoint endpoint = listen();
  const host::Descriptor nonsense = connect_to(path_);
  Bytes bytes = greeting("x");
  test::put(bytes, 0, 4, 31);
  ASSERT_TRUE(native::send(nonsense.get(), bytes));
  {
    const host::Descriptor gone = connect_to(path_);
  }
  const host::Descriptor good = connect_to(path_);
  ASSERT_TRUE(native::send(good.get(), greeting("good")));
  const auto arrival = endpoint.accept({}, Wait::at_most(30s), {});
  ASSERT_TRUE(arrival) << to_text(arrival.error());
  EXPECT_EQ(arrival->greeting.name, "good");
}

TEST_F(KvmiEndpoint, WhoIsSentAwayAndComesAgainKeepsNobodyWaiting) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  constexpr std::size_t kMost = 1000;
  const Endpoint endpoint = listen();
  using std::filesystem::perms;
  std::filesystem::permissions(folder_.path(),
                               perms::owner_all | perms::group_exec | perms::others_exec);
  std::filesystem::permissions(path_, perms::all);
  std::vector<host::Descriptor> strangers;
  const auto come_again = [&] { strangers.push_back(connect_as_nobody(path_)); };
  come_again();
  const host::Descriptor good = connect_to(path_);
  ASSERT_TRUE(native::send(good.get(), greeting("good")));
  const auto log = [&](std::string_view line) {
    if (line.contains("sent away") && strangers.size() < kMost) come_again();
  };
  const auto arrival = endpoint.accept({}, Wait::at_most(30s), log);
  ASSERT_TRUE(arrival) << to_text(arrival.error());
  EXPECT_EQ(arrival->greeting.name, "good");
  EXPECT_GT(strangers.size(), 1U) << "one was sent away and came again";
  EXPECT_LT(strangers.size(), kMost) << "it was heard after all of them";
}

}  // namespace
}  // namespace microvmi::kvm
