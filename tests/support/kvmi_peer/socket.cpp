// SPDX-License-Identifier: Apache-2.0
// The peer's thread: connects as QEMU does, shakes hands, carries bytes.
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "support/kvmi_peer/peer.hpp"

namespace microvmi::test::kvmi {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kAnswerSize = 24;  // section 2.2
constexpr auto kRetry = 2ms;             // where nobody listens yet
constexpr auto kHandshakeTime = 10s;     // QEMU's handshake_timeout
constexpr std::size_t kHalf = 40;        // bytes of a handshake that stops
constexpr std::size_t kBlock = 256 << 10;

bool wait_for(int fd, short events, std::chrono::milliseconds time) {
  pollfd one{.fd = fd, .events = events, .revents = 0};
  return ::poll(&one, 1, static_cast<int>(time.count())) == 1;
}

int vsock(std::uint32_t port, sockaddr_vm& address) {
  address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_LOCAL;
  address.svm_port = port;
  return ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

// All of it, or false.
bool send_all(int fd, ByteSpan bytes, std::optional<std::chrono::microseconds> drip) {
  while (!bytes.empty()) {
    const std::size_t size = drip ? 1 : bytes.size();
    const ssize_t sent = ::send(fd, bytes.data(), size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, kHandshakeTime)) continue;
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
    if (drip) std::this_thread::sleep_for(*drip);
  }
  return true;
}

}  // namespace

bool Peer::over(const std::stop_token& stop) const {
  return stop.stop_requested() || Clock::now() >= end_;
}

void Peer::rest(std::chrono::milliseconds time) const {
  if (!wait_for(wake_fd_, POLLIN, time)) return;
  std::uint64_t woken = 0;
  static_cast<void>(::read(wake_fd_, &woken, sizeof(woken)));
}

int Peer::connect_once() {
  sockaddr_un local{};
  sockaddr_vm machine{};
  const bool is_vsock = options_.vsock_port.has_value();
  int fd = -1;
  if (is_vsock) {
    fd = vsock(*options_.vsock_port, machine);
  } else {
    local.sun_family = AF_UNIX;
    options_.path.native().copy(local.sun_path, sizeof(local.sun_path) - 1);
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  }
  const auto* address = is_vsock ? reinterpret_cast<const sockaddr*>(&machine)
                                 : reinterpret_cast<const sockaddr*>(&local);
  const socklen_t size = is_vsock ? sizeof(machine) : sizeof(local);
  if (fd >= 0 && ::connect(fd, address, size) == 0) return fd;
  {
    const std::scoped_lock lock(mutex_);
    error_ = std::strerror(errno);
  }
  if (fd >= 0) ::close(fd);
  return -1;
}

void Peer::serve(const std::stop_token& stop) {
  while (!over(stop)) {
    {
      const std::scoped_lock lock(mutex_);
      if (connections_ >= options_.connections) return;
    }
    const int fd = connect_once();
    if (fd < 0) {
      rest(std::chrono::duration_cast<std::chrono::milliseconds>(kRetry));
      continue;
    }
    {
      const std::scoped_lock lock(mutex_);
      ++connections_;
      hang_up_ = false;
    }
    changed_.notify_all();
    if (shake_hands(fd, stop)) converse(fd, stop);
    ::close(fd);
    changed_.notify_all();
    rest(options_.reconnect);
  }
}

bool Peer::shake_hands(int fd, const std::stop_token& stop) {
  const auto linger = [&] {
    while (!over(stop) && !wait_for(fd, POLLRDHUP | POLLHUP, 20ms)) continue;
    return false;
  };
  Bytes hello = handshake(options_);
  switch (options_.greeting) {
    case Greeting::silent:
      return linger();
    case Greeting::hangup:
      return false;
    case Greeting::half:
    case Greeting::half_then_hangup:
      hello.resize(kHalf);
      break;
    default:
      break;
  }
  if (!send_all(fd, hello, options_.drip)) return false;
  if (options_.greeting == Greeting::half || options_.greeting == Greeting::stalling)
    return linger();
  if (options_.greeting != Greeting::good) return false;
  std::array<std::uint8_t, kAnswerSize> answer{};
  std::size_t have = 0;
  const auto deadline = Clock::now() + kHandshakeTime;
  while (have != answer.size()) {
    if (over(stop) || Clock::now() > deadline) return false;
    if (!wait_for(fd, POLLIN, 20ms)) continue;
    const ssize_t got = ::recv(fd, answer.data() + have, answer.size() - have, 0);
    if (got <= 0) return false;
    have += static_cast<std::size_t>(got);
  }
  const std::scoped_lock lock(mutex_);
  if (u32(answer, 0) != kAnswerSize)
    record_.violations.push_back("the handshake's answer announces " +
                                 std::to_string(u32(answer, 0)) + " bytes instead of 24");
  std::memcpy(record_.cookie.data(), answer.data() + 4, record_.cookie.size());
  return !options_.cookie || *options_.cookie == record_.cookie;
}

bool Peer::send_some(int fd) {
  if (output_.empty()) return true;
  const std::size_t size = options_.drip ? 1 : output_.size();
  const ssize_t sent = ::send(fd, output_.data(), size, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN;
  output_.erase(output_.begin(), output_.begin() + sent);
  if (options_.drip) std::this_thread::sleep_for(*options_.drip);
  return true;
}

bool Peer::exchange(int fd) {
  std::uint64_t woken = 0;
  static_cast<void>(::read(wake_fd_, &woken, sizeof(woken)));
  static thread_local Bytes block(kBlock);
  const ssize_t got = ::recv(fd, block.data(), block.size(), 0);
  const std::scoped_lock lock(mutex_);
  if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
  if (got > 0) kernel_->receive(ByteSpan(block).first(static_cast<std::size_t>(got)));
  const Bytes more = kernel_->take_output();
  if (output_.empty())
    output_ = more;
  else
    append_bytes(output_, more);
  return send_some(fd) && !(output_.empty() && kernel_->closed()) && !hang_up_;
}

void Peer::converse(int fd, const std::stop_token& stop) {
  {
    const std::scoped_lock lock(mutex_);
    kernel_.emplace(guest_, options_.kernel, record_);
    output_.clear();
  }
  changed_.notify_all();
  bool going = true;
  while (going && !over(stop)) {
    short events = POLLIN;
    if (!output_.empty()) events |= POLLOUT;
    std::array<pollfd, 2> both{{{.fd = fd, .events = events, .revents = 0},
                                {.fd = wake_fd_, .events = POLLIN, .revents = 0}}};
    ::poll(both.data(), both.size(), 100);
    going = exchange(fd);
    changed_.notify_all();
  }
  const std::scoped_lock lock(mutex_);
  kernel_->detach();
  kernel_.reset();
}

}  // namespace microvmi::test::kvmi
