// SPDX-License-Identifier: Apache-2.0
// QmpLink: a socket and the conversation over it, moved on whenever there is something to do; and
// run(), which moves many of them at once. Errors are without the monitor's name.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>

#include "microvmi/error.hpp"
#include "microvmi/wait.hpp"
#include "qemu/qmp.hpp"
#include "qemu/qmp_session.hpp"
#include "qemu/qmp_socket.hpp"

namespace microvmi::qemu {

class QmpLink {
 public:
  using Clock = Wait::Clock;

  // What may be done to say why the monitor is busy.
  enum class Care : std::uint8_t { quick, look_for_holder };

  QmpLink(Monitor monitor, Care care);

  [[nodiscard]] Session& session() { return session_; }

  // Does what can be done without waiting. After an error the connection is closed and stays so.
  [[nodiscard]] Expected<void> advance();

  // When to call it again: as soon as this has events, or at that time.
  [[nodiscard]] pollfd awaited() const;
  [[nodiscard]] Clock::time_point next_look() const;

  void close();

  [[nodiscard]] const Monitor& monitor() const { return monitor_; }

 private:
  enum class Stage : std::uint8_t { unconnected, connecting, talking, over };

  Expected<void> connect();
  Expected<void> talk();
  Expected<void> take_input();
  Expected<void> write_output();
  [[nodiscard]] Expected<void> check_greeting();
  [[nodiscard]] bool is_gone() const;
  [[nodiscard]] std::optional<Error> why_no_greeting() const;

  Monitor monitor_;
  Care care_;
  Clock::time_point since_;
  Clock::time_point greet_by_;
  Clock::time_point retry_ = Clock::time_point::min();
  Stage stage_ = Stage::unconnected;
  std::optional<Socket> socket_;
  Session session_;
  std::string output_;  // not yet written
  bool trusted_ = false;
};

// A link with what is wanted of it.
struct Errand {
  QmpLink* link = nullptr;
  bool wants_answer = true;  // false: only that it has negotiated
  QmpLink::Clock::time_point deadline = QmpLink::Clock::time_point::max();
  std::optional<Expected<nlohmann::json>> result = std::nullopt;
};

// Until each has its result. What comes too late is Errc::timed_out, and its link closed.
void run(std::span<Errand> errands, const Wait& wait);

}  // namespace microvmi::qemu
