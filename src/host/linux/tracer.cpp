// SPDX-License-Identifier: Apache-2.0
// A thread with one place for a job.
#include "host/linux/tracer.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is not in <csignal>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

namespace microvmi::host {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{2};  // at threads that were abandoned
constexpr std::chrono::milliseconds kBetweenMeanwhiles{20};

class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace

Expected<std::unique_ptr<Tracer>> Tracer::start() {
  std::unique_ptr<Tracer> tracer(new Tracer);
  const AllSignalsBlocked blocked;  // the new thread inherits it
  try {
    tracer->thread_ = std::thread([&self = *tracer] { self.serve(); });
  } catch (const std::system_error& error) {
    return fail(Errc::io, std::string("cannot start the tracing thread: ") + error.what());
  }
  return tracer;
}

Tracer::~Tracer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Tracer::run(const Job& job) {
  const std::lock_guard one_at_a_time(calls_);
  std::unique_lock lock(mutex_);
  job_ = &job;
  done_ = false;
  changed_.notify_all();
  changed_.wait(lock, [this] { return done_; });
}

void Tracer::serve() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // its naps are short; the system would round them up to 50 us
  std::unique_lock lock(mutex_);
  const auto called = [this] { return job_ != nullptr || ending_; };
  while (true) {
    if (abandoned_.empty() && !meanwhile_)
      changed_.wait(lock, called);
    else if (!changed_.wait_for(lock, abandoned_.empty() ? kBetweenMeanwhiles : kBetweenLooks,
                                called)) {
      let_go_of_all();
      if (meanwhile_) meanwhile_();
      continue;
    }
    if (!job_) return;  // the end of this thread lets go of the rest
    const Job& job = *job_;
    lock.unlock();
    job();
    lock.lock();
    job_ = nullptr;
    done_ = true;
    changed_.notify_all();
  }
}

bool Tracer::let_go(int tid) {
  if (!abandoned_.contains(tid)) return true;
  int status = 0;
  const pid_t seen = ::waitpid(tid, &status, __WALL | WNOHANG);
  const bool gone = seen < 0 || (seen == tid && !WIFSTOPPED(status));
  // It may have stopped without our hearing of it: another thread of this program waits for all.
  const int signal = seen == tid && WIFSTOPPED(status) && status >> 16 == 0 ? WSTOPSIG(status) : 0;
  const long pass_on = signal == (SIGTRAP | 0x80) ? 0 : signal;
  if (!gone && ::ptrace(PTRACE_DETACH, tid, nullptr, pass_on) != 0) return false;
  abandoned_.erase(tid);
  return true;
}

void Tracer::let_go_of_all() {
  for (const int tid : std::vector<int>(abandoned_.begin(), abandoned_.end()))
    static_cast<void>(let_go(tid));
}

}  // namespace microvmi::host
