// SPDX-License-Identifier: Apache-2.0
// QmpTruth: a QMP client of the tests' own, so that what they compare with never comes from ours.
#pragma once

#include <chrono>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace microvmi::test {

// What went wrong in a helper of a test, for its message.
template <class T>
using Outcome = std::expected<T, std::string>;

// Blocking, one line at a time, every wait with a deadline.
class QmpTruth {
 public:
  QmpTruth() = default;
  explicit QmpTruth(int connected) : fd_(connected) {}
  QmpTruth(QmpTruth&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), rest_(std::move(other.rest_)) {}
  QmpTruth& operator=(QmpTruth&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(rest_, other.rest_);
    return *this;
  }
  QmpTruth(const QmpTruth&) = delete;
  QmpTruth& operator=(const QmpTruth&) = delete;
  ~QmpTruth();

  // As any other client of a socket that QEMU listens on.
  [[nodiscard]] static Outcome<QmpTruth> connect(const std::string& path);

  [[nodiscard]] bool connected() const { return fd_ >= 0; }
  void close();

  // Takes the greeting; the first thing to do.
  [[nodiscard]] Outcome<void> greet();

  // What the command returned; events in between are dropped.
  [[nodiscard]] Outcome<nlohmann::json> execute(
      const std::string& command, const nlohmann::json& arguments = nlohmann::json::object());

  // A command of the human monitor: "info mtree -f".
  [[nodiscard]] Outcome<std::string> human(const std::string& command_line);

 private:
  using Clock = std::chrono::steady_clock;

  Outcome<std::string> line(Clock::time_point deadline);
  Outcome<void> send(const std::string& text) const;

  int fd_ = -1;
  std::string rest_;  // what came after the last line
};

}  // namespace microvmi::test
