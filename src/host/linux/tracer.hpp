// SPDX-License-Identifier: Apache-2.0
// Tracer: the one thread that traces threads of another process.
//
// ptrace(2) ties a traced thread to the thread that began it, so every request is made there. No
// signal is delivered to it. When this program dies, the kernel lets go of all that is traced.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "host/linux/descriptor.hpp"
#include "microvmi/error.hpp"

namespace microvmi::host {

class Tracer {
 public:
  using Job = std::function<void()>;

  [[nodiscard]] static Expected<std::unique_ptr<Tracer>> start();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;
  ~Tracer();  // what is still traced is let go

  // Runs it there and waits; one at a time, each keeps to its own deadline. Not from a job.
  void run(const Job& job);

  // From a job: done there again and again between jobs; nothing where it is empty.
  void meanwhile(Job job) { meanwhile_ = std::move(job); }

  // From a job: a thread that was told to stop and has not. It is let go when it does.
  void abandon(int tid) { abandoned_.insert(tid); }
  // From a job: true where that thread is not abandoned any more.
  [[nodiscard]] bool let_go(int tid);
  // From a job that takes long: all that are abandoned and have stopped. One that was killed keeps
  // its process from ending until then.
  void let_go_of_all();

 private:
  // A byte through a pipe wakes the other thread where this one is about to sleep, which a
  // condition variable does not.
  struct Pipe {
    Descriptor out;
    Descriptor in;
    [[nodiscard]] static Expected<Pipe> make();
    void put() const;
    void take() const;
  };

  Tracer(Pipe begun, Pipe done) : begun_(std::move(begun)), done_(std::move(done)) {}
  void serve();
  [[nodiscard]] bool is_called() const;

  std::mutex calls_;  // held by who is in run()
  std::atomic<const Job*> job_ = nullptr;
  std::atomic<bool> ending_ = false;
  Pipe begun_;
  Pipe done_;
  std::set<int> abandoned_;  // this one and the next: of the tracer's thread alone
  Job meanwhile_;
  std::thread thread_;
};

}  // namespace microvmi::host
