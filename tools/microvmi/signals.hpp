// SPDX-License-Identifier: Apache-2.0
// Signals: Ctrl-C, SIGTERM and SIGHUP become a stop token; the second one ends the program at once.
// One that whoever started the program had ignored (nohup, a script's background job) stays
// ignored.
#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

namespace microvmi::tool {

// Made by the main thread before any other thread starts.
class Signals {
 public:
  Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals();

  [[nodiscard]] std::stop_token token() const { return stop_.get_token(); }

 private:
  void watch(pthread_t main_thread);

  const sigset_t watched_;
  std::stop_source stop_;
  std::atomic<bool> over_ = false;
  std::thread watcher_;
};

}  // namespace microvmi::tool
