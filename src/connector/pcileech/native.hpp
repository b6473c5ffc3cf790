// SPDX-License-Identifier: Apache-2.0
// Helper: the process that LeechCore is loaded into, and the memory shared with it.
//
// Threads: one call at a time; whoever has it sees to that.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "connector/pcileech/output.hpp"
#include "connector/pcileech/protocol.hpp"
#include "host/linux/descriptor.hpp"
#include "microvmi/wait.hpp"

namespace microvmi::pcileech_connector {

class Helper {
 public:
  // Started, and of our version.
  [[nodiscard]] static Expected<std::unique_ptr<Helper>> start(const Wait& wait);
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper();  // LeechCore closes its device, for which it has little time

  [[nodiscard]] Shared& shared() { return *shared_; }

  // What LeechCore has printed and nobody has taken yet.
  [[nodiscard]] Output& output() { return output_; }

  // Calls may follow each other before the first is answered. Where no answer comes in time the
  // helper is ended, and from then on there is none: Errc::disconnected, with the reason.
  [[nodiscard]] Expected<void> send(const Message& call);
  [[nodiscard]] Expected<Message> receive(const Wait& wait);
  [[nodiscard]] Expected<Message> call(const Message& message, const Wait& wait);

 private:
  struct Ends;
  Helper() = default;
  [[nodiscard]] Expected<void> share();
  [[nodiscard]] Expected<void> launch(const Wait& wait);
  void poll(const Wait& wait, bool answers);
  void drain();
  [[nodiscard]] std::optional<Message> take_answer();
  [[nodiscard]] bool take_end();
  [[nodiscard]] std::unexpected<Error> gone(Errc code, std::string why);
  void end();

  host::Descriptor memory_;
  host::Descriptor calls_;
  host::Descriptor life_;
  host::Descriptor printed_;
  Shared* shared_ = nullptr;
  Output output_;
  std::optional<int> status_;       // with which it ended
  std::optional<std::string> why_;  // it is gone
  bool hung_up_ = false;            // its end of calls_ or life_ is closed
};

}  // namespace microvmi::pcileech_connector
