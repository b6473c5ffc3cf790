// SPDX-License-Identifier: Apache-2.0
// Qmp: a client of one QEMU's monitor. A monitor serves one client at a time, so nobody should
// keep one longer than a command: ask() connects, asks and hangs up.
//
// Threads: ask and ask_all from several at once; one Qmp from one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/error.hpp"
#include "microvmi/wait.hpp"
#include "qemu/endpoint.hpp"

namespace microvmi::qemu {

// A free monitor greets at once. Without a greeting after this time somebody else has it,
inline constexpr std::chrono::milliseconds kGreetingTime{200};
// or, where nobody else is found at it, QEMU is slow, as on a machine that has too much to do.
inline constexpr std::chrono::milliseconds kSlowGreetingTime{1000};

struct Command {
  std::string name;
  nlohmann::json arguments = nullptr;  // an object, or null for none
};

// A line of the human monitor; its answer is a JSON string.
[[nodiscard]] Command human_command(std::string_view line);

struct Monitor {
  Endpoint endpoint{};
  std::uint32_t pid = 0;  // the QEMU that must be at the other end
};

class QmpLink;

class Qmp {
 public:
  // Connects, proves that `monitor.pid` is at the other end (qmp_peer.hpp says how), takes the
  // greeting and negotiates. Errc::busy where another client has the monitor.
  [[nodiscard]] static Expected<Qmp> connect(const Monitor& monitor, const Wait& wait);

  Qmp(Qmp&&) noexcept;
  Qmp& operator=(Qmp&&) noexcept;
  Qmp(const Qmp&) = delete;
  Qmp& operator=(const Qmp&) = delete;
  ~Qmp();

  // What "return" held. After any error but a refusal by QEMU the connection is over.
  [[nodiscard]] Expected<nlohmann::json> execute(const Command& command, const Wait& wait);
  [[nodiscard]] Expected<std::string> human(std::string_view line, const Wait& wait);

 private:
  explicit Qmp(std::unique_ptr<QmpLink> link);

  std::unique_ptr<QmpLink> link_;
};

// "monitor /run/vm.qmp of process 17: " before the message, as in the errors of all calls here but
// ask_plainly().
[[nodiscard]] Error about_monitor(const Monitor& monitor, Error error);

// One command over a connection of its own.
[[nodiscard]] Expected<nlohmann::json> ask(const Monitor& monitor, const Command& command,
                                           const Wait& wait);
[[nodiscard]] Expected<std::string> ask_human(const Monitor& monitor, std::string_view line,
                                              const Wait& wait);

// For who names the monitor in the end, in errors of its own too.
[[nodiscard]] Expected<nlohmann::json> ask_plainly(const Monitor& monitor, const Command& command,
                                                   const Wait& wait);

struct Question {
  Monitor monitor{};
  Command command{};
};

// Asks all at once, without threads; each gets `each` from its connect to its answer. The answers
// stand in the order of the questions.
[[nodiscard]] std::vector<Expected<nlohmann::json>> ask_all(std::span<const Question> questions,
                                                            std::chrono::milliseconds each,
                                                            const Wait& wait);

}  // namespace microvmi::qemu
