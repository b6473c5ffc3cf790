// SPDX-License-Identifier: Apache-2.0
// A thread that waits for signals, as a handler may do next to nothing.
#include "signals.hpp"

#include <pthread.h>

#include <chrono>
#include <ctime>

namespace microvmi::tool {
namespace {

// Wakes the main thread out of a system call that would block for ever.
constexpr int kNudge = SIGUSR1;
constexpr timespec kBetweenNudges{.tv_sec = 0, .tv_nsec = 50'000'000};

// timeout(1) signals its child and then the group in which the child is: that is said once.
constexpr std::chrono::milliseconds kSameSignal{100};

// A blocked signal is pending even where it is ignored, so that must be seen beforehand.
bool is_ignored(int signal) {
  struct sigaction found{};
  return sigaction(signal, nullptr, &found) == 0 && found.sa_handler == SIG_IGN;
}

sigset_t ending_signals() {
  sigset_t set{};
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (!is_ignored(signal)) sigaddset(&set, signal);
  return set;
}

void nothing(int) {}

}  // namespace

Signals::Signals() : watched_(ending_signals()) {
  struct sigaction action{};
  action.sa_handler = nothing;  // without SA_RESTART, so that the call ends with EINTR
  sigaction(kNudge, &action, nullptr);
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  pthread_sigmask(SIG_BLOCK, &watched_, nullptr);
  watcher_ = std::thread([this, main_thread = pthread_self()] { watch(main_thread); });
}

Signals::~Signals() {
  over_ = true;
  watcher_.join();
}

void Signals::watch(pthread_t main_thread) {
  sigset_t nudge{};
  sigemptyset(&nudge);
  sigaddset(&nudge, kNudge);
  pthread_sigmask(SIG_BLOCK, &nudge, nullptr);
  std::chrono::steady_clock::time_point first;
  while (!over_) {
    const int signal = sigtimedwait(&watched_, nullptr, &kBetweenNudges);
    const auto now = std::chrono::steady_clock::now();
    if (signal > 0 && !stop_.stop_requested()) {
      first = now;
      stop_.request_stop();
    } else if (signal > 0 && now - first > kSameSignal) {
      static_cast<void>(std::signal(signal, SIG_DFL));
      pthread_sigmask(SIG_UNBLOCK, &watched_, nullptr);
      static_cast<void>(::raise(signal));
    }
    if (stop_.stop_requested()) pthread_kill(main_thread, kNudge);
  }
}

}  // namespace microvmi::tool
