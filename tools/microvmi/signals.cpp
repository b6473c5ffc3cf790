// SPDX-License-Identifier: Apache-2.0
// A thread that waits for signals, as a handler may do next to nothing.
#include "signals.hpp"

#include <pthread.h>

#include <csignal>
#include <ctime>

namespace microvmi::tool {
namespace {

// Wakes the main thread out of a system call that would block for ever.
constexpr int kNudge = SIGUSR1;
constexpr timespec kBetweenNudges{.tv_sec = 0, .tv_nsec = 50'000'000};

sigset_t ending_signals() {
  sigset_t set{};
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

void nothing(int) {}

}  // namespace

Signals::Signals() {
  struct sigaction action{};
  action.sa_handler = nothing;  // without SA_RESTART, so that the call ends with EINTR
  sigaction(kNudge, &action, nullptr);
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  const sigset_t set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  watcher_ = std::thread([this, main_thread = pthread_self()] { watch(main_thread); });
}

Signals::~Signals() {
  over_ = true;
  watcher_.join();
}

void Signals::watch(pthread_t main_thread) {
  const sigset_t set = ending_signals();
  sigset_t nudge{};
  sigemptyset(&nudge);
  sigaddset(&nudge, kNudge);
  pthread_sigmask(SIG_BLOCK, &nudge, nullptr);
  while (!over_) {
    const int signal = sigtimedwait(&set, nullptr, &kBetweenNudges);
    if (signal > 0 && stop_.stop_requested()) {
      static_cast<void>(std::signal(signal, SIG_DFL));
      pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
      static_cast<void>(::raise(signal));
    }
    if (signal > 0) stop_.request_stop();
    if (stop_.stop_requested()) pthread_kill(main_thread, kNudge);
  }
}

}  // namespace microvmi::tool
