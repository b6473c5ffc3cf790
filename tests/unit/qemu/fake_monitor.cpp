// SPDX-License-Identifier: Apache-2.0
// The monitor's side of a unix socket, in a thread.
#include "unit/qemu/fake_monitor.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

namespace microvmi::test {
namespace {

// A client that neither speaks nor leaves does not keep the test for ever.
constexpr int kPatienceMs = 10000;

bool readable(int fd) {
  pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, kPatienceMs) == 1;
}

}  // namespace

void FakeLine::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string FakeLine::line() {
  std::array<char, 4096> buffer{};
  while (rest_.find('\n') == std::string::npos) {
    const ssize_t size = readable(fd_) ? ::recv(fd_, buffer.data(), buffer.size(), 0) : 0;
    if (size <= 0) return {};
    rest_.append(buffer.data(), static_cast<std::size_t>(size));
  }
  const std::size_t end = rest_.find('\n');
  std::string out = rest_.substr(0, end);
  rest_.erase(0, end + 1);
  return out;
}

std::string FakeLine::packet() {
  constexpr std::size_t kChecksum = 3;  // with its '#'
  std::array<char, 4096> buffer{};
  std::size_t end = 0;
  while ((end = rest_.find('#')) == std::string::npos || rest_.size() < end + kChecksum) {
    const ssize_t size = readable(fd_) ? ::recv(fd_, buffer.data(), buffer.size(), 0) : 0;
    if (size <= 0) return {};
    rest_.append(buffer.data(), static_cast<std::size_t>(size));
  }
  const std::size_t start = rest_.find('$') + 1;
  std::string out = rest_.substr(start, end - start);
  rest_.erase(0, end + kChecksum);
  return out;
}

std::string FakeLine::answer(std::string_view result) {
  const auto command = nlohmann::json::parse(line(), nullptr, false);
  if (!command.is_object()) return {};
  const std::string id = command.contains("id") ? ", \"id\": " + command["id"].dump() : "";
  send("{\"return\": " + std::string(result) + id + "}\r\n");
  return command.value("execute", "");
}

void FakeLine::greet() {
  send(kGreeting);
  EXPECT_EQ(answer("{}"), "qmp_capabilities");
}

void FakeLine::idle() {
  std::array<char, 4096> buffer{};
  while (readable(fd_) && ::recv(fd_, buffer.data(), buffer.size(), 0) > 0) continue;
}

FakeMonitor::FakeMonitor(Script script) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path().copy(address.sun_path, sizeof(address.sun_path) - 1);
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(listener_, 8), 0);
  thread_ = std::jthread([this, script = std::move(script)] { serve(script); });
}

FakeMonitor::~FakeMonitor() {
  ::shutdown(listener_, SHUT_RDWR);  // ends the accept() below
  thread_.join();
  ::close(listener_);
}

void FakeMonitor::serve(const Script& script) const {
  for (int fd = -1; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
    FakeLine line(fd);
    script(line);
    ::close(fd);
  }
}

qemu::Monitor FakeMonitor::monitor() const {
  return {.endpoint = {.address = path()}, .pid = static_cast<std::uint32_t>(::getpid())};
}

}  // namespace microvmi::test
