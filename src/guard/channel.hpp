// SPDX-License-Identifier: Apache-2.0
// Channel: one end of the socket between a program and its guard; a message is a list of texts.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "microvmi/wait.hpp"

namespace microvmi::guard {

using Message = std::vector<std::string>;

class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}
  Channel(Channel&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Channel& operator=(Channel&& other) = delete;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  // A connected pair whose ends are closed by exec.
  [[nodiscard]] static Expected<std::pair<Channel, Channel>> pair();

  [[nodiscard]] int fd() const { return fd_; }

  // Errc::disconnected once the other end is gone.
  [[nodiscard]] Expected<void> send(const Message& message) const;
  [[nodiscard]] Expected<Message> receive(const Wait& wait) const;

  // Says that nothing more will be sent; the other end's receive() ends.
  void finish() const;

 private:
  int fd_;
};

// Waits until one of them can be read or has hung up; Errc::timed_out or Errc::cancelled otherwise.
[[nodiscard]] Expected<void> wait_readable(std::span<const int> fds, const Wait& wait);

}  // namespace microvmi::guard
