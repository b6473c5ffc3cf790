// SPDX-License-Identifier: Apache-2.0
// One system call after the other; each is seen to begin and to end. Not by single steps: the
// processor would go on trapping after our death, and the process die of SIGTRAP.
#include "host/linux/injection.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

constexpr std::size_t kMostExtended = std::size_t{64} << 10;
constexpr std::uint64_t kAllSignals = ~std::uint64_t{0};
constexpr std::size_t kSignalSet = sizeof(std::uint64_t);  // of the kernel, for PTRACE_GETSIGMASK

std::unexpected<Error> failed(const Tracee& tracee, const char* what) {
  return system_failure(errno, fmt::format("cannot {} thread {}", what, tracee.task().tid));
}

Expected<void> write_to(const Process& process, std::uint64_t at,
                        std::span<const std::byte> bytes) {
  if (::pwrite(process.memory(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
      static_cast<ssize_t>(bytes.size()))
    return {};
  return system_failure(errno, fmt::format("cannot write {} bytes below the stack of process {}",
                                           bytes.size(), process.pid()));
}

Expected<void> read_from(const Process& process, std::uint64_t at, std::span<std::byte> bytes) {
  if (::pread(process.memory(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
      static_cast<ssize_t>(bytes.size()))
    return {};
  return system_failure(errno,
                        fmt::format("cannot read what a call left in process {}", process.pid()));
}

}  // namespace

Expected<Injection> Injection::begin(Tracee& tracee, const Gadgets& gadgets) {
  const auto status = task_status(tracee.task().process, tracee.task().tid);
  if (!status) return std::unexpected(status.error());
  const std::string thread =
      fmt::format("thread {} of process {}", tracee.task().tid, tracee.task().process.pid());
  if (status->seccomp)
    return fail(Errc::not_supported,
                thread + " has a seccomp filter, which could end it for a call of ours", {},
                "use intrusive = sync-regs, which makes none");
  if (status->shadow_stack)
    return fail(Errc::not_supported, thread + " has a shadow stack", {},
                "use intrusive = sync-regs");
  // The kernel would have to begin its call again, which it cannot once another was made.
  constexpr std::int64_t kRestartFirst = -516;  // ERESTART_RESTARTBLOCK, include/linux/errno.h
  constexpr std::int64_t kRestartLast = -512;   // ERESTARTSYS
  if (tracee.call() >= 0 && tracee.result() >= kRestartFirst && tracee.result() <= kRestartLast)
    return fail(Errc::busy, thread + " is within a system call of its own");
  Injection injection(tracee, gadgets);
  if (auto prepared = injection.prepare(); !prepared) return std::unexpected(prepared.error());
  return injection;
}

Expected<void> Injection::prepare() {
  const auto tid = static_cast<pid_t>(tracee_->task().tid);
  state_.registers = tracee_->registers();
  state_.extended.resize(kMostExtended);
  iovec part{state_.extended.data(), state_.extended.size()};
  if (::ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &part) != 0)
    return failed(*tracee_, "read the processor's state of");
  state_.extended.resize(part.iov_len);
  if (::ptrace(PTRACE_GETSIGMASK, tid, kSignalSet, &state_.blocked_signals) != 0)
    return failed(*tracee_, "read the signal mask of");
  auto scratch = make_scratch(state_, gadgets_.restore);
  if (!scratch) return std::unexpected(scratch.error());
  scratch_ = *std::move(scratch);
  return write_to(tracee_->task().process, scratch_.frame, scratch_.bytes);
}

Injection::Injection(Injection&& other) noexcept
    : tracee_(std::exchange(other.tracee_, nullptr)),
      gadgets_(other.gadgets_),
      state_(std::move(other.state_)),
      scratch_(std::move(other.scratch_)),
      signals_wait_(std::exchange(other.signals_wait_, false)) {}

// The mask first: as long as the registers are ours, the frame restores both.
Injection::~Injection() {
  if (!tracee_) return;
  const auto tid = static_cast<pid_t>(tracee_->task().tid);
  if (signals_wait_) ::ptrace(PTRACE_SETSIGMASK, tid, kSignalSet, &state_.blocked_signals);
  static_cast<void>(tracee_->set(state_.registers).has_value());
}

Expected<std::int64_t> Injection::call(std::int64_t number, const Arguments& arguments,
                                       const Wait& wait) {
  if (!tracee_) return fail(Errc::busy, "an earlier call has not come back");
  user_regs_struct registers = state_.registers;
  registers.rax = static_cast<std::uint64_t>(number);
  registers.orig_rax = ~0ULL;
  registers.rip = gadgets_.call;
  registers.rsp = scratch_.frame;
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  if (auto set = tracee_->set(registers); !set) return std::unexpected(set.error());
  const auto tid = static_cast<pid_t>(tracee_->task().tid);
  if (!signals_wait_ && ::ptrace(PTRACE_SETSIGMASK, tid, kSignalSet, &kAllSignals) != 0)
    return failed(*tracee_, "set the signal mask of");
  signals_wait_ = true;
  for (int i = 0; i < 2; ++i)  // it begins, it ends
    if (auto ran = tracee_->run_to_call(wait); !ran) {
      tracee_ = nullptr;  // it restores itself
      return std::unexpected(ran.error());
    }
  const auto after = tracee_->get();
  if (!after) return std::unexpected(after.error());
  if (after->rip != gadgets_.call + 2)
    return fail(Errc::protocol, fmt::format("thread {} ran something else than our call", tid));
  return static_cast<std::int64_t>(after->rax);
}

Expected<std::int64_t> Injection::control(int fd, std::uint64_t request, std::span<std::byte> data,
                                          const Wait& wait) {
  if (data.size() > kScratchBuffer)
    return fail(Errc::invalid_argument, "the argument of an ioctl is too long");
  if (!tracee_) return fail(Errc::busy, "an earlier call has not come back");
  const Process& process = tracee_->task().process;
  if (auto done = write_to(process, scratch_.buffer, data); !done)
    return std::unexpected(done.error());
  const auto result =
      call(SYS_ioctl, {static_cast<std::uint64_t>(fd), request, scratch_.buffer}, wait);
  if (!result) return result;
  if (auto done = read_from(process, scratch_.buffer, data); !done)
    return std::unexpected(done.error());
  return result;
}

}  // namespace microvmi::host
