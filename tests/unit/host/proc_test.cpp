// SPDX-License-Identifier: Apache-2.0
// The small files of /proc: tables of hostile text, and this process as the truth.
#include "host/linux/proc.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "unit/host/target.hpp"

namespace microvmi::host {
namespace {

std::uint32_t self() { return static_cast<std::uint32_t>(::getpid()); }

constexpr const char* kStatRest =
    " S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654321 1000 10 18446744073709551615";

TEST(ProcTest, StatSurvivesAnyName) {
  for (const char* name : {"sh", "a b", ")", "x) S 1 1 (y", "(("}) {
    const auto stat = parse_stat(std::string("42 (") + name + ")" + kStatRest + "\n");
    ASSERT_TRUE(stat) << name;
    EXPECT_EQ(stat->pid, 42U);
    EXPECT_EQ(stat->comm, name);
    EXPECT_EQ(stat->state, 'S');
    EXPECT_EQ(stat->parent, 7U);
    EXPECT_EQ(stat->start_time, 987654321U);
  }
}

TEST(ProcTest, StatThatIsMalformedIsRefused) {
  for (const char* text : {"", "42", "42 (sh", "42 (sh) S 1", "x (sh) S 1 2 3", ") (", "42 () ",
                           "42 (sh) Sleeping 7 1 1 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 5"}) {
    const auto stat = parse_stat(text);
    ASSERT_FALSE(stat) << text;
    EXPECT_EQ(stat.error().code, Errc::protocol);
  }
}

TEST(ProcTest, ThisProcessIsDescribedRightly) {
  const auto pid_list = pids();
  ASSERT_TRUE(pid_list);
  EXPECT_THAT(*pid_list, testing::Contains(self()));
  EXPECT_TRUE(std::ranges::is_sorted(*pid_list));

  const auto stat = stat_of(self());
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->parent, static_cast<std::uint32_t>(::getppid()));
  EXPECT_EQ(*exe_of(self()), std::filesystem::read_symlink("/proc/self/exe").native());
  EXPECT_EQ(*cwd_of(self()), std::filesystem::current_path().native());
  const auto owner = owner_of(self());
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->uid, ::geteuid());
  EXPECT_EQ(owner->gid, ::getegid());
  EXPECT_FALSE(argv_of(self())->empty());
}

TEST(ProcTest, ANameIsReadWhole) {
  const test::Target target([] {
    ::prctl(PR_SET_NAME, "a) R (b\n");
    return std::uint64_t{1};
  });
  EXPECT_EQ(*comm_of(target.pid()), "a) R (b\n");
  EXPECT_EQ(stat_of(target.pid())->comm, "a) R (b\n");
  EXPECT_EQ(stat_of(target.pid())->parent, self());
}

TEST(ProcTest, AnEndedProcessIsNotFound) {
  test::Target target([] { return std::uint64_t{1}; });
  const std::uint32_t pid = target.pid();
  target.kill();
  EXPECT_EQ(argv_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(comm_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(exe_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(stat_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(owner_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(open_files_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(unix_sockets_of(pid).error().code, Errc::not_found);
  EXPECT_EQ(why_unreadable(pid).code, Errc::not_found);
}

TEST(ProcTest, SocketsByInode) {
  const std::string path = "/tmp/microvmi host test " + std::to_string(self());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const auto find = [&]() -> UnixEndpoint {
    const auto files = open_files_of(self());
    const auto mine = std::ranges::find(*files, fd, &OpenFile::fd);
    const auto sockets = unix_sockets_of(self());
    const auto found = std::ranges::find(*sockets, mine->socket_inode(), &UnixEndpoint::inode);
    return found == sockets->end() ? UnixEndpoint{} : *found;
  };
  EXPECT_EQ(find().path, path);
  EXPECT_FALSE(find().listening);
  ASSERT_EQ(::listen(fd, 1), 0);
  EXPECT_TRUE(find().listening);
  ::close(fd);
  ::unlink(path.c_str());
}

TEST(ProcTest, SocketLinesThatAreForgedAreLeftOut) {
  const auto sockets = parse_unix_sockets(
      "Num       RefCount Protocol Flags    Type St Inode Path\n"
      "0000000000000000: 00000002 00000000 00010000 0001 01   100 /run/a b\n"
      "0000000000000000: 00000002 00000000 00000000 0001 03   101\n"
      "0000000000000000: 00000002 00000000 00000000 0001 03   102 @abstract\n"
      "0000000000000000: 00000002 00000000 00010000 0001 01   103 /run/c\n"
      "0000000000000000: 00000002 00000000 00010000 0001 01   103 /run/forged\n"
      "0000000000000000: 00000002 00000000 00010000 0001 01   99999999999999999999 /run/d\n"
      "0000000000000000: 00000002 00000000 zz 0001 01   105 /run/e\n"
      "0000000000000000: 00000002\n"
      "no colon");
  ASSERT_EQ(sockets.size(), 2U);
  EXPECT_EQ(sockets[0].inode, 100U);
  EXPECT_EQ(sockets[0].path, "/run/a b");
  EXPECT_TRUE(sockets[0].listening);
  EXPECT_TRUE(sockets[1].abstract);
  EXPECT_FALSE(sockets[1].listening);
}

TEST(ProcTest, SocketInodeOfALink) {
  EXPECT_EQ((OpenFile{.fd = 3, .target = "socket:[123]"}.socket_inode()), 123U);
  for (const char* other : {"socket:[]", "socket:[12", "socket:[1x]", "/tmp/socket:[1]",
                            "anon_inode:kvm-vm", "socket:[-1]"})
    EXPECT_EQ((OpenFile{.fd = 3, .target = other}.socket_inode()), 0U) << other;
}

}  // namespace
}  // namespace microvmi::host
