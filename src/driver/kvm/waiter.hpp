// SPDX-License-Identifier: Apache-2.0
// Connection::Waiter: how far one run() is.
#pragma once

#include "driver/kvm/connection.hpp"

namespace microvmi::kvm {

// Used with the connection's lock held.
struct Connection::Waiter {
  std::span<Request> requests{};
  std::size_t sent = 0;
  std::size_t answered = 0;
  std::size_t wake_at = 0;  // answered
  std::condition_variable_any changed{};

  [[nodiscard]] std::size_t in_flight() const { return sent - answered; }

  void count_answer() {
    if (++answered >= wake_at) changed.notify_all();
  }
};

}  // namespace microvmi::kvm
