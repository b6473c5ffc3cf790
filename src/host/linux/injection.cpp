// SPDX-License-Identifier: Apache-2.0
// Calls one by one are each seen to begin and to end. Not by single steps: the processor would go
// on trapping after our death, and the process die of SIGTRAP.
#include "host/linux/injection.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "host/linux/tasks.hpp"

namespace microvmi::host {
namespace {

// All that this processor can have (Intel SDM vol. 1, 13.4), or so much that it cannot be more.
std::size_t most_extended() {
  static const std::size_t size = std::max(extended_size(~std::uint64_t{0}), std::size_t{16} << 10);
  return size;
}
constexpr std::uint64_t kAllSignals = ~std::uint64_t{0};
constexpr std::size_t kSignalSet = sizeof(std::uint64_t);  // of the kernel, for PTRACE_GETSIGMASK

// No such thread: it was killed while we held it.
std::unexpected<Error> failed(const Tracee& tracee, const char* what) {
  const int error = errno;
  if (error == ESRCH) return ended(tracee.task());
  return system_failure(error, fmt::format("cannot {} thread {}", what, tracee.task().tid));
}

Expected<void> is_injectable(const Tracee& tracee) {
  const auto status = task_status(tracee.task().process, tracee.task().tid);
  if (!status && status.error().code == Errc::not_found) return ended(tracee.task());
  if (!status) return std::unexpected(status.error());
  const std::string thread = name_of(tracee.task());
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
  return {};
}

Expected<ThreadState> state_of(const Tracee& tracee) {
  if (auto good = is_injectable(tracee); !good) return std::unexpected(good.error());
  const auto tid = static_cast<pid_t>(tracee.task().tid);
  ThreadState out{.registers = tracee.registers()};
  out.extended.resize(most_extended());
  iovec part{out.extended.data(), out.extended.size()};
  if (::ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &part) != 0)
    return failed(tracee, "read the processor's state of");
  out.extended.resize(part.iov_len);
  if (::ptrace(PTRACE_GETSIGMASK, tid, kSignalSet, &out.blocked_signals) != 0)
    return failed(tracee, "read the signal mask of");
  return out;
}

}  // namespace

Expected<Injection> Injection::begin(Tracee& tracee, const Gadgets& gadgets) {
  auto state = state_of(tracee);
  if (!state) return std::unexpected(state.error());
  auto scratch = make_scratch(*state, gadgets.restore);
  if (!scratch) return std::unexpected(scratch.error());
  if (auto done = tracee.task().process.poke(scratch->start, scratch->bytes); !done)
    return std::unexpected(done.error());
  return Injection(tracee, gadgets, *std::move(state), *std::move(scratch));
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
  if (auto done = process.poke(scratch_.buffer, data); !done) return std::unexpected(done.error());
  const auto result =
      call(SYS_ioctl, {static_cast<std::uint64_t>(fd), request, scratch_.buffer}, wait);
  if (!result) return result;
  if (auto done = process.peek(scratch_.buffer, data); !done) return std::unexpected(done.error());
  return result;
}

namespace {

// What a chain finds in the buffer: a word that is not zero once its last call is over, then the
// data of its calls.
class ChainData {
 public:
  explicit ChainData(std::span<const Control> controls) : controls_(controls), bytes_(kStep) {
    for (const Control& one : controls) {
      at_.push_back(bytes_.size());
      bytes_.insert(bytes_.end(), one.data.begin(), one.data.end());
      bytes_.resize((bytes_.size() + kStep - 1) / kStep * kStep);
    }
  }

  [[nodiscard]] bool fits() const { return bytes_.size() <= kScratchBuffer; }
  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }
  [[nodiscard]] std::span<std::byte> mark() { return bytes().first(kSignalSet); }

  [[nodiscard]] std::vector<SystemCall> calls(int fd, std::uint64_t buffer) const {
    std::vector<SystemCall> out;
    out.reserve(at_.size() + 1);
    for (std::size_t i = 0; i < at_.size(); ++i)
      out.push_back(
          {.number = SYS_ioctl,
           .arguments = {static_cast<std::uint64_t>(fd), controls_[i].request, buffer + at_[i]}});
    // Changes nothing and tells the signals that are blocked: while a chain is made, nearly all.
    out.push_back({.number = SYS_rt_sigprocmask, .arguments = {SIG_BLOCK, 0, buffer, kSignalSet}});
    return out;
  }

  [[nodiscard]] bool made() const {
    return std::ranges::any_of(std::span(bytes_).first(kSignalSet),
                               [](std::byte one) { return one != std::byte{0}; });
  }
  void hand_out() const {
    for (std::size_t i = 0; i < at_.size(); ++i)
      std::ranges::copy(std::span(bytes_).subspan(at_[i], controls_[i].data.size()),
                        controls_[i].data.begin());
  }

 private:
  static constexpr std::size_t kStep = 64;
  std::span<const Control> controls_;
  std::vector<std::size_t> at_;
  std::vector<std::byte> bytes_;
};

// Who writes there next begins with the first word, which nobody reads.
Expected<bool> is_still(const Scratch& scratch, const Process& process) {
  std::uint64_t first = 0;
  auto done = process.peek(scratch.start, std::as_writable_bytes(std::span(&first, 1)));
  if (!done) return std::unexpected(done.error());
  return std::memcmp(&first, scratch.bytes.data(), sizeof first) == 0;
}

// Once the mark is there, the data is; if it is all still ours after that, it was.
Expected<void> wait_for(ChainData& data, const Scratch& scratch, const TaskId& task,
                        const Wait& wait) {
  constexpr unsigned kLooksUnchecked = 64;
  for (unsigned looks = 1;; ++looks) {
    if (auto done = task.process.peek(scratch.buffer, data.mark()); !done) return done;
    const bool made = data.made();
    if (made)
      if (auto done = task.process.peek(scratch.buffer, data.bytes()); !done) return done;
    const auto ours = made || looks % kLooksUnchecked == 0 ? is_still(scratch, task.process) : true;
    if (!ours) return std::unexpected(ours.error());
    const auto thread = [&task] { return name_of(task); };
    if (!*ours) return fail(Errc::busy, thread() + " was stopped by another introspection program");
    if (made) return {};
    if (const Errc over = wait.over(); over != Errc::none)
      return fail(over, thread() + " does not get on with the calls that it was given");
    pause_between_looks(looks);
  }
}

}  // namespace

Expected<void> go_on_by_way_of(Tracee& tracee, const Gadgets& gadgets, int fd,
                               std::span<const Control> controls, const Wait& wait) {
  ChainData data(controls);
  if (!data.fits()) return fail(Errc::invalid_argument, "the arguments of ioctls are too long");
  const auto state = state_of(tracee);
  if (!state) return std::unexpected(state.error());
  auto scratch = make_scratch(*state, gadgets.restore, controls.size() + 1);
  if (!scratch) return std::unexpected(scratch.error());
  put_chain(*scratch, gadgets, data.calls(fd, scratch->buffer));
  if (::getrandom(scratch->bytes.data(), sizeof(std::uint64_t), 0) != sizeof(std::uint64_t))
    return system_failure(errno, "cannot take a random number");
  scratch->bytes.insert(scratch->bytes.end(), data.bytes().begin(), data.bytes().end());
  const TaskId task = tracee.task();
  if (auto done = task.process.poke(scratch->start, scratch->bytes); !done) return done;
  user_regs_struct registers = state->registers;
  registers.orig_rax = ~0ULL;
  registers.rip = gadgets.restore;
  registers.rsp = scratch->start + sizeof(std::uint64_t);  // as if its `ret` had come there
  if (auto gone = tracee.go_on_with(registers); !gone) return gone;
  if (auto made = wait_for(data, *scratch, task, wait); !made) return made;
  data.hand_out();
  return {};
}

}  // namespace microvmi::host
