// SPDX-License-Identifier: Apache-2.0
// Stopping by PTRACE_SEIZE and PTRACE_INTERRUPT, which send no signal (ptrace(2)).
#include "host/linux/tracee.hpp"

#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

using std::chrono::microseconds;

constexpr int kCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr std::uint64_t kUserCode = 0x33;  // CS of 64-bit user code; arch/x86/include/asm/segment.h
constexpr unsigned kSyscallSize = 2;       // 0F 05
constexpr std::array<std::uint8_t, kSyscallSize> kSyscall{0x0F, 0x05};

// These end with EINTR when their thread is stopped, where others begin again by themselves
// (signal(7)); beginning them again is what their callers would do. Of ioctls KVM_RUN alone.
constexpr bool begins_again(const user_regs_struct& registers) {
  constexpr std::int64_t kEpollPwait2 = 441;
  constexpr std::array<std::int64_t, 6> kCalls{SYS_epoll_wait, SYS_epoll_pwait,
                                               kEpollPwait2,   SYS_semop,
                                               SYS_semtimedop, SYS_rt_sigtimedwait};
  const auto call = static_cast<std::int64_t>(registers.orig_rax);
  if (call == SYS_ioctl) return static_cast<std::uint32_t>(registers.rsi) == KVM_RUN;
  return std::ranges::find(kCalls, call) != kCalls.end();
}

bool follows_syscall(const Process& process, std::uint64_t rip) {
  std::array<std::uint8_t, kSyscallSize> code{};
  return ::pread(process.memory(), code.data(), code.size(),
                 static_cast<off_t>(rip - kSyscallSize)) == static_cast<ssize_t>(code.size()) &&
         code == kSyscall;
}

std::unexpected<Error> busy(const TaskId& task, std::uint32_t tracer) {
  return fail(Errc::busy, fmt::format("{} is traced by process {}", name_of(task), tracer), {},
              "end that debugger or other introspection program first");
}

std::unexpected<Error> refused(const TaskId& task, int error) {
  if (error == ESRCH) return ended(task);
  const std::string text = fmt::format("cannot trace {}: {}", name_of(task), std::strerror(error));
  return fail(error == EPERM ? Errc::permission_denied : Errc::io, text, {},
              "run as root or grant CAP_SYS_PTRACE; kernel.yama.ptrace_scope may forbid it");
}

// EPERM may come of a tracer that is gone before we can see its name, and then is no reason.
Expected<void> seize(const TaskId& task) {
  constexpr int kTries = 16;
  for (int i = 0; i < kTries; ++i) {
    if (::ptrace(PTRACE_SEIZE, static_cast<pid_t>(task.tid), nullptr, PTRACE_O_TRACESYSGOOD) == 0)
      return {};
    if (errno != EPERM) return refused(task, errno);
    const auto status = task_status(task.process, task.tid);
    if (status && status->tracer != 0) return busy(task, status->tracer);
  }
  return refused(task, EPERM);
}

}  // namespace

std::string name_of(const TaskId& task) {
  return fmt::format("thread {} of process {}", task.tid, task.process.pid());
}

std::unexpected<Error> ended(const TaskId& task) {
  return fail(Errc::disconnected, name_of(task) + " has ended", {}, "open the guest again");
}

// A thread that runs on another processor stops within microseconds, tens of them where KVM is
// nested; one that waits for ours needs us to sleep. Never by yielding: on a loaded host that costs
// the time slices of all others.
void pause_between_looks(unsigned looks) {
  constexpr unsigned kSpins = 300;
  constexpr unsigned kLongest = 6;  // 20 us shifted by it
  if (looks < kSpins) return;
  std::this_thread::sleep_for(microseconds(20U << std::min((looks - kSpins) / 8, kLongest)));
}

Expected<Tracee> Tracee::stop(TaskId task, const Wait& wait) {
  const auto tid = static_cast<pid_t>(task.tid);
  while (!task.tracer.let_go(tid)) {
    if (wait.over() != Errc::none) return fail(wait.over(), name_of(task) + " does not stop");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (auto seized = seize(task); !seized) return std::unexpected(seized.error());
  Tracee tracee(task);
  if (::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0) return refused(task, errno);
  if (auto stopped = tracee.wait_for_stop(wait, false); !stopped)
    return std::unexpected(stopped.error());
  if (auto looked = tracee.look(); !looked) return std::unexpected(looked.error());
  return tracee;
}

Tracee::Tracee(Tracee&& other) noexcept
    : task_(other.task_),
      held_(std::exchange(other.held_, false)),
      call_(other.call_),
      result_(other.result_),
      resume_(other.resume_) {}

Tracee::~Tracee() {
  if (held_) detach();
}

void Tracee::detach() {
  held_ = false;
  const auto tid = static_cast<pid_t>(task_.tid);
  // ESRCH: it is not stopped, or it has been killed and still has to be waited for.
  if (::ptrace(PTRACE_DETACH, tid, nullptr, nullptr) != 0) task_.tracer.abandon(tid);
}

bool Tracee::held() {
  if (!held_) return false;
  int status = 0;
  const auto tid = static_cast<pid_t>(task_.tid);
  const pid_t seen = ::waitpid(tid, &status, __WALL | WNOHANG);
  if (seen < 0 || (seen == tid && !WIFSTOPPED(status))) held_ = false;
  return held_;
}

// NOLINTNEXTLINE(readability-function-cognitive-complexity): every kind of stop, in one place
Expected<void> Tracee::wait_for_stop(const Wait& wait, bool call) {
  const auto tid = static_cast<pid_t>(task_.tid);
  for (unsigned looks = 0;; ++looks) {
    int status = 0;
    const pid_t seen = ::waitpid(tid, &status, __WALL | WNOHANG);
    if (seen < 0 || (seen == tid && !WIFSTOPPED(status))) {
      held_ = false;
      return ended(task_);
    }
    if (seen == tid) {
      const int signal = WSTOPSIG(status);
      const int event = status >> 16;
      if (event == PTRACE_EVENT_STOP && !call) return {};
      if (event == 0 && signal == kCallStop && call) return {};
      // A signal on its way is handed on; our own stop follows it.
      const long hand_on = event == 0 && signal != kCallStop ? signal : 0;
      const auto go_on = call ? PTRACE_SYSCALL : PTRACE_CONT;
      if (::ptrace(go_on, tid, nullptr, hand_on) != 0 && errno != ESRCH)
        return refused(task_, errno);
      continue;
    }
    // Another thread of this program may have taken the news, by waiting for any child.
    constexpr unsigned kLooksForRumour = 200;
    siginfo_t info{};
    if (looks >= kLooksForRumour && ::ptrace(PTRACE_GETSIGINFO, tid, nullptr, &info) == 0) {
      if (!call && info.si_code >> 8 == PTRACE_EVENT_STOP) return {};
      if (call && info.si_code == kCallStop) return {};
    }
    if (const Errc over = wait.over(); over != Errc::none) {
      held_ = false;
      task_.tracer.abandon(tid);
      return fail(over, name_of(task_) + " did not stop in time");
    }
    pause_between_looks(looks);
  }
}

Expected<void> Tracee::look() {
  auto registers = get();
  if (!registers) return std::unexpected(registers.error());
  resume_ = *registers;
  if (resume_.cs != kUserCode) return {};
  call_ = static_cast<std::int64_t>(resume_.orig_rax);
  result_ = static_cast<std::int64_t>(resume_.rax);
  if (result_ != -EINTR || !begins_again(resume_) || !follows_syscall(task_.process, resume_.rip))
    return {};
  resume_.rip -= kSyscallSize;
  resume_.rax = resume_.orig_rax;
  resume_.orig_rax = ~0ULL;  // or the kernel would look whether to begin it again itself
  return set(resume_);
}

Expected<void> Tracee::set(const user_regs_struct& registers) const {
  const auto tid = static_cast<pid_t>(task_.tid);
  if (::ptrace(PTRACE_SETREGS, tid, nullptr, &registers) != 0) return refused(task_, errno);
  return {};
}

Expected<user_regs_struct> Tracee::get() const {
  user_regs_struct registers{};
  const auto tid = static_cast<pid_t>(task_.tid);
  if (::ptrace(PTRACE_GETREGS, tid, nullptr, &registers) != 0) return refused(task_, errno);
  return registers;
}

Expected<void> Tracee::go_on_with(const user_regs_struct& registers) {
  if (auto done = set(registers); !done) return done;
  detach();
  return {};
}

Expected<void> Tracee::run_to_call(const Wait& wait) {
  const auto tid = static_cast<pid_t>(task_.tid);
  if (::ptrace(PTRACE_SYSCALL, tid, nullptr, nullptr) != 0) return refused(task_, errno);
  return wait_for_stop(wait, true);
}

}  // namespace microvmi::host
