// SPDX-License-Identifier: Apache-2.0
// vsock: who may be waited for, and a whole connection where this machine can speak to itself.
//
// Only context id 1, this machine's own loopback, is ever connected to.
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kPort = 47'110;

// Empty where vsock sockets can be bound here.
std::string why_no_vsock() {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = kPort;
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::string("socket: ") + std::strerror(errno);
  const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const std::string why = bound ? "" : std::string("bind: ") + std::strerror(errno);
  ::close(fd);
  return why;
}

// Empty where a listener of this machine can be reached at CID 1.
std::string why_no_loopback() {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = kPort + 1;
  const int listener = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string why;
  if (listener < 0 || client < 0 ||
      ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener, 1) != 0) {
    why = std::strerror(errno);
  } else {
    address.svm_cid = VMADDR_CID_LOCAL;
    if (::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      why = std::strerror(errno);
  }
  ::close(listener);
  ::close(client);
  return why;
}

TEST(KvmVsockTest, NobodyConnects) {
  if (const std::string why = why_no_vsock(); !why.empty())
    GTEST_SKIP() << "no vsock on this machine: " << why;
  const auto opened = Line::open({.transport = VSock{.port = kPort}, .timeout = 100ms});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::timed_out) << to_text(opened.error());
  EXPECT_THAT(to_text(opened.error()), HasSubstr(std::to_string(kPort)));
}

TEST(KvmVsockTest, WithoutVsockThatIsTheReason) {
  if (why_no_vsock().empty()) return;  // the test above has seen it wait
  const auto opened = Line::open({.transport = VSock{.port = kPort}, .timeout = 100ms});
  ASSERT_FALSE(opened);
  EXPECT_THAT(to_text(opened.error()), HasSubstr("vsock"));
}

TEST(KvmVsockTest, APortThatIsTakenIsBusy) {
  if (const std::string why = why_no_vsock(); !why.empty())
    GTEST_SKIP() << "no vsock on this machine: " << why;
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = kPort + 2;
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  const auto opened = Line::open({.transport = VSock{.port = kPort + 2}, .timeout = 100ms});
  ::close(fd);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::busy) << to_text(opened.error());
}

TEST(KvmVsockTest, PortsThatCannotBeListenedOnAreRefused) {
  for (const std::uint32_t port : {0U, 0xffffffffU})
    EXPECT_FALSE(Line::open({.transport = VSock{.port = port}, .timeout = 100ms})) << port;
}

TEST(KvmVsockSimulatedTest, AGuestOverTheLoopback) {
  if (const std::string why = why_no_loopback(); !why.empty())
    GTEST_SKIP() << "this machine has no vsock loopback (CID 1): " << why;
  Peer peer({.vsock_port = kPort + 3});
  const auto opened = Line::open(
      {.transport = VSock{.port = kPort + 3, .peer_cid = VMADDR_CID_LOCAL}, .timeout = kPatient});
  ASSERT_TRUE(opened) << to_text(opened.error());
  std::vector<std::byte> bytes(0x2000);
  EXPECT_TRUE(opened->memory().read(Gpa{0}, bytes));
  const auto wrong =
      Line::open({.transport = VSock{.port = kPort + 4, .peer_cid = 77}, .timeout = 200ms});
  EXPECT_FALSE(wrong);
}

}  // namespace
}  // namespace microvmi::test::kvmi
