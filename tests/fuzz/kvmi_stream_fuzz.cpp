// SPDX-License-Identifier: Apache-2.0
// A kernel may send the driver's connection anything: each request is answered or fails in time.
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "driver/kvm/connection.hpp"

namespace {

using namespace microvmi;

void send_all(int fd, const std::uint8_t* data, std::size_t size, std::size_t step) {
  while (size != 0) {
    const std::size_t piece = std::min(step, size);
    const ssize_t sent = ::send(fd, data, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) return;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

}  // namespace

// The first byte chooses the dialect, the second how the rest is cut; then the socket is closed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return 0;
  bool ended = false;
  auto connection = kvm::Connection::start(
      host::Descriptor(pair[0]),
      {.on_event = [](std::unique_ptr<kvm::ToldEvent>) { return Expected<void>{}; },
       .on_end = [&](const Error&) { ended = true; }});
  if (!connection) std::abort();
  (*connection)->speak(static_cast<kvm::Dialect>(data[0] % 3));
  std::vector<kvm::Request> requests;
  for (int i = 0; i != 4; ++i) requests.emplace_back(kvm::Command::get_version);
  // The bytes may come before the requests: an answer to nothing ends the connection.
  std::thread kernel([&] {
    send_all(pair[1], data + 2, size - 2, std::size_t{data[1]} + 1);
    ::shutdown(pair[1], SHUT_WR);
  });
  const auto done = (*connection)->run(requests, Wait::at_most(std::chrono::seconds(10)));
  kernel.join();
  // After the end of the stream nobody waits until the deadline.
  if (!done && done.error().code == Errc::timed_out) std::abort();
  connection->reset();
  ::close(pair[1]);
  return 0;
}
