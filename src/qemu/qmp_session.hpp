// SPDX-License-Identifier: Apache-2.0
// Session: the QMP conversation without a socket: bytes in, bytes out. QEMU's docs/interop/
// qmp-spec.txt is what it follows.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "microvmi/error.hpp"
#include "qemu/qmp.hpp"
#include "qemu/qmp_framer.hpp"

namespace microvmi::qemu {

class Session {
 public:
  // An error ends the session: the other side does not speak QMP.
  [[nodiscard]] Expected<void> receive(std::string_view bytes);

  // Queued until the greeting came; a command behind the negotiation saves a round trip.
  void send(const Command& command);

  // What is to be written now. Nothing before the greeting, as the client has to wait for it.
  [[nodiscard]] std::string take_output();

  [[nodiscard]] bool greeted() const { return greeted_; }
  [[nodiscard]] bool negotiated() const { return greeted_ && expected_ != kNegotiation; }

  // The answer to the oldest command: what "return" held, or why QEMU refused.
  [[nodiscard]] std::optional<Expected<nlohmann::json>> take_answer();

 private:
  using Id = std::uint64_t;
  static constexpr Id kNegotiation = 0;

  [[nodiscard]] Expected<void> take(const nlohmann::json& message);
  [[nodiscard]] Expected<void> take_greeting(const nlohmann::json& message);
  [[nodiscard]] Expected<void> take_reply(const nlohmann::json& message);
  [[nodiscard]] bool is_awaited(const nlohmann::json* id) const;
  void write(const Command& command, Id id);

  Framer framer_;
  bool greeted_ = false;
  Id next_id_ = kNegotiation + 1;
  Id expected_ = kNegotiation;     // the id of the next answer
  std::deque<std::string> asked_;  // names of the commands without an answer
  std::deque<Expected<nlohmann::json>> answers_;
  std::string output_;
};

}  // namespace microvmi::qemu
