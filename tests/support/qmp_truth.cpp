// SPDX-License-Identifier: Apache-2.0
// QMP by docs/interop/qmp-spec.txt of QEMU: JSON objects, one on each line.
#include "support/qmp_truth.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;

// A pmemsave of much memory is slow on a loaded machine.
constexpr auto kMonitorPatience = 60s;

std::unexpected<std::string> failed(const char* what) {
  return std::unexpected(std::string("qmp: ") + what + ": " + std::strerror(errno));
}

}  // namespace

QmpTruth::~QmpTruth() { close(); }

void QmpTruth::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Outcome<QmpTruth> QmpTruth::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return std::unexpected("qmp: the path is too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  QmpTruth client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (client.fd_ < 0) return failed("socket");
  if (::connect(client.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return failed("connect");
  if (auto done = client.greet(); !done) return std::unexpected(done.error());
  return client;
}

Outcome<void> QmpTruth::greet() {
  const auto greeting = line(Clock::now() + kMonitorPatience);
  if (!greeting) return std::unexpected(greeting.error());
  if (greeting->find("\"QMP\"") == std::string::npos)
    return std::unexpected("qmp: no greeting but " + *greeting);
  if (auto done = execute("qmp_capabilities"); !done) return std::unexpected(done.error());
  return {};
}

Outcome<nlohmann::json> QmpTruth::execute(const std::string& command,
                                          const nlohmann::json& arguments) {
  nlohmann::json request{{"execute", command}};
  if (!arguments.empty()) request["arguments"] = arguments;
  if (auto done = send(request.dump() + "\n"); !done) return std::unexpected(done.error());
  const auto deadline = Clock::now() + kMonitorPatience;
  while (true) {
    const auto text = line(deadline);
    if (!text) return std::unexpected(command + ": " + text.error());
    const auto answer = nlohmann::json::parse(*text, nullptr, false);
    if (answer.contains("return")) return answer["return"];
    if (answer.contains("error"))
      return std::unexpected(command + ": " + answer["error"].value("desc", *text));
    if (!answer.contains("event")) return std::unexpected(command + ": not QMP: " + *text);
  }
}

Outcome<std::string> QmpTruth::human(const std::string& command_line) {
  const auto answer = execute("human-monitor-command", {{"command-line", command_line}});
  if (!answer) return std::unexpected(answer.error());
  return answer->get<std::string>();
}

Outcome<void> QmpTruth::send(const std::string& text) const {
  std::size_t done = 0;
  while (done != text.size()) {
    const ssize_t size = ::send(fd_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed("send");
    done += static_cast<std::size_t>(size);
  }
  return {};
}

Outcome<std::string> QmpTruth::line(Clock::time_point deadline) {
  while (true) {
    if (const auto end = rest_.find('\n'); end != std::string::npos) {
      std::string whole = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      return whole;
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return std::unexpected("qmp: no answer in time");
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return failed("poll");
    if (ready <= 0) continue;
    std::array<char, 4096> some{};
    const ssize_t size = ::read(fd_, some.data(), some.size());
    if (size == 0) return std::unexpected("qmp: the monitor hung up");
    if (size < 0 && errno != EINTR) return failed("read");
    if (size > 0) rest_.append(some.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace microvmi::test
