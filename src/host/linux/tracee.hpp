// SPDX-License-Identifier: Apache-2.0
// Tracee: a thread of another process, stopped for a moment, as if nothing had happened.
//
// A system call that our stop interrupted and that would tell its caller so (EINTR) is begun again
// when the thread goes on, and that is set up first of all: it holds even if this program is killed
// while the thread is stopped. Signals for the thread stay its own.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <string>

#include "host/linux/process.hpp"
#include "host/linux/tracer.hpp"
#include "microvmi/wait.hpp"

namespace microvmi::host {

// A thread by its number, of this process, and who traces it.
struct TaskId {
  Tracer& tracer;
  const Process& process;
  std::uint32_t tid = 0;
};
[[nodiscard]] std::string name_of(const TaskId& task);
[[nodiscard]] std::unexpected<Error> ended(const TaskId& task);

// Between looks at what another thread does in microseconds: not at all at first, then longer and
// longer.
void pause_between_looks(unsigned looks);

class Tracee {
 public:
  // All of it in a job of the tracer. timed_out: it does not stop; it is let go as soon as it does.
  // busy: another program traces it. disconnected: it has ended.
  [[nodiscard]] static Expected<Tracee> stop(TaskId task, const Wait& wait);
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  Tracee(Tracee&& other) noexcept;
  Tracee& operator=(Tracee&& other) = delete;
  ~Tracee();  // lets it go on

  [[nodiscard]] const TaskId& task() const { return task_; }

  // False once it has ended or could not be stopped any more. A thread that was killed while it was
  // held has to be noticed, or its process could not go away.
  [[nodiscard]] bool held();

  // The registers that it goes on with.
  [[nodiscard]] const user_regs_struct& registers() const { return resume_; }
  // The system call that the stop ended or interrupted; -1 where it was in none. Its arguments are
  // in the registers.
  [[nodiscard]] std::int64_t call() const { return call_; }
  // What that call returned: -EINTR for one that is begun again.
  [[nodiscard]] std::int64_t result() const { return result_; }

  // For injection: sets registers, and runs until the next system call begins or ends.
  [[nodiscard]] Expected<void> set(const user_regs_struct& registers) const;
  [[nodiscard]] Expected<user_regs_struct> get() const;
  [[nodiscard]] Expected<void> run_to_call(const Wait& wait);
  // Lets it go on with these registers instead of its own.
  [[nodiscard]] Expected<void> go_on_with(const user_regs_struct& registers);

 private:
  explicit Tracee(TaskId task) : task_(task) {}
  [[nodiscard]] Expected<void> look();
  [[nodiscard]] Expected<void> wait_for_stop(const Wait& wait, bool call);
  void detach();

  TaskId task_;
  bool held_ = true;  // false: moved from, ended or abandoned
  std::int64_t call_ = -1;
  std::int64_t result_ = 0;
  user_regs_struct resume_{};
};

}  // namespace microvmi::host
