// SPDX-License-Identifier: Apache-2.0
// Moves many links at once, with poll() and without threads.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "qemu/qmp_link.hpp"

namespace microvmi::qemu {
namespace {

using namespace std::chrono_literals;
using Clock = QmpLink::Clock;

// How soon a stop is noticed.
constexpr auto kStopSlice = 10ms;

void finish(Errand& errand, Error error) {
  errand.link->close();
  errand.result = std::unexpected(std::move(error));
}

// Whether it reached what is wanted of it, or never will.
void look(Errand& errand) {
  auto moved = errand.link->advance();
  Session& session = errand.link->session();
  if (errand.wants_answer)
    errand.result = session.take_answer();
  else if (session.negotiated())
    errand.result = nlohmann::json();
  if (!errand.result && !moved) finish(errand, std::move(moved.error()));
}

void give_up(Errand& errand, const Wait& wait) {
  if (wait.stop.stop_requested())
    finish(errand, {Errc::cancelled, "cancelled"});
  else if (Clock::now() >= std::min(errand.deadline, wait.deadline))
    finish(errand, {Errc::timed_out, "no answer in time"});
}

timespec until(Clock::time_point when) {
  const auto left = std::max(Clock::duration::zero(), when - Clock::now());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {.tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds(left - seconds).count()};
}

void await(std::vector<pollfd>& awaited, Clock::time_point when) {
  const timespec patience = until(when);
  // Woken by a signal, it only looks at all of them again.
  if (::ppoll(awaited.data(), awaited.size(), &patience, nullptr) < 0)
    for (pollfd& one : awaited) one.revents = POLLIN;
}

}  // namespace

void run(std::span<Errand> errands, const Wait& wait) {
  for (Errand& errand : errands) look(errand);
  while (true) {
    std::vector<Errand*> open;
    std::vector<pollfd> awaited;
    auto when = wait.stop.stop_possible() ? Clock::now() + kStopSlice : wait.deadline;
    for (Errand& errand : errands) {
      if (!errand.result) give_up(errand, wait);
      if (errand.result) continue;
      open.push_back(&errand);
      awaited.push_back(errand.link->awaited());
      when = std::min({when, wait.deadline, errand.deadline, errand.link->next_look()});
    }
    if (open.empty()) return;
    await(awaited, when);
    for (std::size_t i = 0; i != open.size(); ++i)
      if (awaited[i].revents != 0 || open[i]->link->next_look() <= Clock::now()) look(*open[i]);
  }
}

}  // namespace microvmi::qemu
