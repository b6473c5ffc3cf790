// SPDX-License-Identifier: Apache-2.0
// Messages over a socket that keeps their boundaries, so that none is ever half read.
#include "guard/channel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace microvmi::guard {
namespace {

// Below the kernel's default send buffer (net.core.wmem_default, 212992), with room to spare.
constexpr std::size_t kLongest = 128UL * 1024;

// A stop token cannot be polled for, so that long waits look at it this often.
constexpr int kGlanceMs = 50;

std::unexpected<Error> failed(const char* what, int error) {
  const bool gone = error == EPIPE || error == ECONNRESET;
  return fail(gone ? Errc::disconnected : Errc::io,
              std::string("guard process: ") + what + ": " + std::strerror(error));
}

}  // namespace

Channel::~Channel() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<std::pair<Channel, Channel>> Channel::pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return failed("cannot make a socket pair", errno);
  return std::pair(Channel(ends[0]), Channel(ends[1]));
}

Expected<void> Channel::send(const Message& message) const {
  std::string bytes;
  for (const std::string& text : message) {
    if (text.contains('\0'))
      return fail(Errc::invalid_argument, "guard process: a parameter holds a NUL byte");
    bytes.append(text).push_back('\0');
  }
  if (bytes.size() > kLongest)
    return fail(Errc::invalid_argument, "guard process: the parameters are too long to hand over");
  while (::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    if (errno != EINTR) return failed("cannot send", errno);
  return {};
}

Expected<Message> Channel::receive(const Wait& wait) const {
  if (auto ready = wait_readable(std::array{fd_}, wait); !ready)
    return std::unexpected(std::move(ready.error()));
  std::string bytes(kLongest, '\0');
  ssize_t size = 0;
  do size = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
  while (size < 0 && errno == EINTR);
  if (size < 0) return failed("cannot receive", errno);
  if (size == 0) return fail(Errc::disconnected, "guard process: the other end is gone");
  bytes.resize(std::min(static_cast<std::size_t>(size), bytes.size()));
  if (static_cast<std::size_t>(size) > kLongest || bytes.back() != '\0')
    return fail(Errc::protocol, "guard process: a message is cut off");
  Message message;
  for (std::size_t start = 0; start < bytes.size();) {
    const std::size_t end = bytes.find('\0', start);
    message.push_back(bytes.substr(start, end - start));
    start = end + 1;
  }
  return message;
}

void Channel::finish() const { ::shutdown(fd_, SHUT_WR); }

Expected<void> wait_readable(std::span<const int> fds, const Wait& wait) {
  std::vector<pollfd> polled;
  polled.reserve(fds.size());
  for (const int fd : fds) polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  while (true) {
    const int ready = ::poll(polled.data(), polled.size(), kGlanceMs);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return failed("cannot poll", errno);
    if (const Errc over = wait.over(); over != Errc::none)
      return fail(over, "guard process: no answer");
  }
}

}  // namespace microvmi::guard
