// SPDX-License-Identifier: Apache-2.0
// The threads of a process, and what each of them waits for, as /proc/PID/task tells.
//
// Everything is read through the folder of /proc that the Process holds, so that a number which was
// given to a new process is never looked at.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/linux/descriptor.hpp"
#include "host/linux/process.hpp"

namespace microvmi::host {

[[nodiscard]] Expected<std::vector<std::uint32_t>> tasks_of(const Process& process);

// A line of /proc/PID/task/TID/syscall.
struct TaskCall {
  bool running = false;     // nothing more is known then
  std::int64_t number = 0;  // -1 where it is blocked outside of a system call
  std::array<std::uint64_t, 6> arguments{};
  std::uint64_t sp = 0;
  std::uint64_t pc = 0;
  bool operator==(const TaskCall&) const = default;
};
[[nodiscard]] Expected<TaskCall> parse_task_call(std::string_view text);
[[nodiscard]] Expected<TaskCall> task_call(const Process& process, std::uint32_t tid);

// The same of one thread again and again: opening a file of /proc takes longer than reading it.
class TaskCallFile {
 public:
  [[nodiscard]] static Expected<TaskCallFile> open(const Process& process, std::uint32_t tid);
  // Of the thread that it was opened for: a failure where that one has ended.
  [[nodiscard]] Expected<TaskCall> read() const;

 private:
  explicit TaskCallFile(Descriptor file) : file_(std::move(file)) {}

  Descriptor file_;
};

// Clock ticks that the thread spent in a guest, and how often it gave the processor up by itself:
// fields 43 of its stat and voluntary_ctxt_switches of its status (proc_pid_stat(5)).
[[nodiscard]] std::uint64_t parse_guest_ticks(std::string_view stat);
[[nodiscard]] Expected<std::uint64_t> guest_ticks(const Process& process, std::uint32_t tid);

struct TaskStatus {
  bool seccomp = false;       // a filter looks at its system calls
  bool shadow_stack = false;  // returns are checked by the processor
  std::uint32_t tracer = 0;   // pid of who traces it; 0 for none
  std::uint64_t switches = 0;
};
[[nodiscard]] TaskStatus parse_task_status(std::string_view text);
[[nodiscard]] Expected<TaskStatus> task_status(const Process& process, std::uint32_t tid);

[[nodiscard]] Expected<std::string> task_name(const Process& process, std::uint32_t tid);

}  // namespace microvmi::host
