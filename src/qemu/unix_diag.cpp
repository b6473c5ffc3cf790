// SPDX-License-Identifier: Apache-2.0
// One request and one answer of linux/unix_diag.h over netlink.
#include "qemu/unix_diag.hpp"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

namespace microvmi::qemu {
namespace {

// The kernel answers within send(), so this is never waited for.
constexpr int kPatienceMs = 100;
constexpr std::size_t kAnswerSize = 16 * 1024;

struct Request {
  nlmsghdr head{};
  unix_diag_req body{};
};

template <class T>
T value_at(std::span<const char> bytes, std::size_t offset) {
  T out{};
  if (bytes.size() >= sizeof(T) && offset <= bytes.size() - sizeof(T))
    std::memcpy(&out, bytes.data() + offset, sizeof(T));
  return out;
}

void take_attribute(unsigned type, std::span<const char> data, UnixSocket& out) {
  if (type == UNIX_DIAG_NAME) out.name.assign(data.data(), data.size());
  if (type == UNIX_DIAG_PEER) out.peer = value_at<std::uint32_t>(data, 0);
  if (type != UNIX_DIAG_ICONS) return;
  for (std::size_t at = 0; at + sizeof(std::uint32_t) <= data.size(); at += sizeof(std::uint32_t))
    out.waiting.push_back(value_at<std::uint32_t>(data, at));
}

Expected<UnixSocket> parse(std::span<const char> answer) {
  const auto head = value_at<nlmsghdr>(answer, 0);
  if (answer.size() < NLMSG_LENGTH(sizeof(unix_diag_msg)) || head.nlmsg_len > answer.size() ||
      head.nlmsg_type == NLMSG_ERROR) {
    const int error = -value_at<nlmsgerr>(answer, NLMSG_HDRLEN).error;
    return host::system_failure(error, "cannot ask the kernel about a socket");
  }
  const auto body = value_at<unix_diag_msg>(answer, NLMSG_HDRLEN);
  UnixSocket out;
  out.listening = body.udiag_state == TCP_LISTEN;
  answer = answer.first(head.nlmsg_len);
  std::size_t at = NLMSG_ALIGN(NLMSG_LENGTH(sizeof(unix_diag_msg)));
  while (at + sizeof(rtattr) <= answer.size()) {
    const auto attribute = value_at<rtattr>(answer, at);
    if (attribute.rta_len < sizeof(rtattr) || attribute.rta_len > answer.size() - at) break;
    take_attribute(attribute.rta_type,
                   answer.subspan(at + RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0)), out);
    at += RTA_ALIGN(attribute.rta_len);
  }
  return out;
}

}  // namespace

Expected<UnixDiag> UnixDiag::open() {
  host::Descriptor fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd) return host::system_failure(errno, "cannot ask the kernel about sockets");
  return UnixDiag(std::move(fd));
}

Expected<UnixSocket> UnixDiag::ask(std::uint32_t inode) const {
  Request request;
  request.head.nlmsg_len = sizeof(request);
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_ino = inode;
  request.body.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS;
  request.body.udiag_cookie[0] = INET_DIAG_NOCOOKIE;
  request.body.udiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (::send(fd_.get(), &request, sizeof(request), 0) < 0)
    return host::system_failure(errno, "cannot ask the kernel about a socket");
  pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, kPatienceMs) != 1)
    return fail(Errc::timed_out, "cannot ask the kernel about a socket: no answer");
  std::array<char, kAnswerSize> answer{};
  const ssize_t size = ::recv(fd_.get(), answer.data(), answer.size(), MSG_DONTWAIT);
  if (size < 0) return host::system_failure(errno, "cannot ask the kernel about a socket");
  return parse(std::span(answer).first(static_cast<std::size_t>(size)));
}

}  // namespace microvmi::qemu
