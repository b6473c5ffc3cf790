// SPDX-License-Identifier: Apache-2.0
// Descriptor: an owned file descriptor, and reading with a bound through it.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "microvmi/error.hpp"

namespace microvmi::host {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// "cannot VERB PATH: strerror", with the code that fits errno.
[[nodiscard]] std::unexpected<Error> system_failure(int error, const std::string& what);

// The whole file, or Errc::protocol where it is longer than `limit`. A process that is gone gives
// Errc::not_found, whichever of open and read noticed.
[[nodiscard]] Expected<std::string> read_text(const std::string& path, std::size_t limit);
inline constexpr std::size_t kSmallFile = std::size_t{64} << 10;  // of /proc, with room to spare
[[nodiscard]] Expected<std::string> read_link(const std::string& path);

}  // namespace microvmi::host
