// SPDX-License-Identifier: Apache-2.0
// A thread with one place for a job.
#include "host/linux/tracer.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is not in <csignal>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
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

Expected<Tracer::Pipe> Tracer::Pipe::make() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_failure(errno, "cannot make a pipe");
  return Pipe{.out = Descriptor(ends[0]), .in = Descriptor(ends[1])};
}

void Tracer::Pipe::put() const {
  const char byte = 0;
  while (::write(in.get(), &byte, 1) < 0 && errno == EINTR) {
  }
}

void Tracer::Pipe::take() const {
  char byte = 0;
  while (::read(out.get(), &byte, 1) < 0 && errno == EINTR) {
  }
}

Expected<std::unique_ptr<Tracer>> Tracer::start() {
  auto begun = Pipe::make();
  if (!begun) return std::unexpected(std::move(begun.error()));
  auto done = Pipe::make();
  if (!done) return std::unexpected(std::move(done.error()));
  std::unique_ptr<Tracer> tracer(new Tracer(*std::move(begun), *std::move(done)));
  const AllSignalsBlocked blocked;  // the new thread inherits it
  try {
    tracer->thread_ = std::thread([&self = *tracer] { self.serve(); });
  } catch (const std::system_error& error) {
    return fail(Errc::io, std::string("cannot start the tracing thread: ") + error.what());
  }
  return tracer;
}

Tracer::~Tracer() {
  ending_ = true;
  begun_.put();
  if (thread_.joinable()) thread_.join();
}

void Tracer::run(const Job& job) {
  const std::lock_guard one_at_a_time(calls_);
  job_ = &job;
  begun_.put();
  done_.take();
}

// Looks after what is left to do where nobody calls for a while.
bool Tracer::is_called() const {
  if (abandoned_.empty() && !meanwhile_) return true;
  pollfd one{.fd = begun_.out.get(), .events = POLLIN, .revents = 0};
  const auto patience = abandoned_.empty() ? kBetweenMeanwhiles : kBetweenLooks;
  return ::poll(&one, 1, static_cast<int>(patience.count())) > 0;
}

void Tracer::serve() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // its naps are short; the system would round them up to 50 us
  while (true) {
    if (!is_called()) {
      let_go_of_all();
      if (meanwhile_) meanwhile_();
      continue;
    }
    begun_.take();
    if (const Job* job = job_.exchange(nullptr)) {
      (*job)();
      done_.put();
    } else if (ending_) {
      return;  // the end of this thread lets go of the rest
    }
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
