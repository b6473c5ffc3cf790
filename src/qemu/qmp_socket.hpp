// SPDX-License-Identifier: Apache-2.0
// Socket: a connection to a monitor that never blocks.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "host/linux/descriptor.hpp"
#include "microvmi/error.hpp"
#include "qemu/endpoint.hpp"

namespace microvmi::qemu {

class Socket {
 public:
  // Errc::busy where the queue of those who wait for the monitor is full: try again.
  [[nodiscard]] static Expected<Socket> connect(const Endpoint& endpoint);

  // Whether the connection stands; a TCP one may need until its descriptor is writable.
  [[nodiscard]] Expected<bool> established();

  // How many bytes went through; 0 where it would block, Errc::disconnected at the end.
  [[nodiscard]] Expected<std::size_t> send(std::string_view bytes);
  [[nodiscard]] Expected<std::size_t> receive(std::span<char> into);

  [[nodiscard]] int get() const { return fd_.get(); }

 private:
  explicit Socket(host::Descriptor fd, bool established)
      : fd_(std::move(fd)), established_(established) {}

  host::Descriptor fd_;
  bool established_;
};

}  // namespace microvmi::qemu
