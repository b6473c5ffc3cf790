// SPDX-License-Identifier: Apache-2.0
// SigreturnFrame: what rt_sigreturn(2) needs to give a thread back everything that it had.
//
// A thread that is made to run a system call of ours runs it at an instruction "syscall; ret" of
// its own program. The ret takes it to that program's own call of rt_sigreturn, and the kernel then
// restores it from this frame: whatever happens to us in the meantime, it goes on where it was.
// Frames that lead to a further call instead make a chain of calls.
#pragma once

#include <sys/user.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "host/linux/maps.hpp"
#include "host/linux/process.hpp"

namespace microvmi::host {

// Instructions of the program, in memory that nobody writes.
struct Gadgets {
  std::uint64_t call = 0;     // syscall; ret
  std::uint64_t restore = 0;  // mov $15, %rax; syscall: the end of every signal handler
};

// Their offsets in this code, where it has them; npos else.
inline constexpr std::size_t kNoGadget = ~std::size_t{0};
[[nodiscard]] std::size_t find_call(std::span<const std::byte> code);
[[nodiscard]] std::size_t find_restore(std::span<const std::byte> code);

// not_supported where the program has not both.
[[nodiscard]] Expected<Gadgets> find_gadgets(const Process& process);

// A thread's state beside its registers.
struct ThreadState {
  user_regs_struct registers{};
  std::uint64_t blocked_signals = 0;
  std::vector<std::byte> extended{};  // as NT_X86_XSTATE gives it
};

// A system call that the thread is to make.
struct SystemCall {
  std::int64_t number = 0;
  std::array<std::uint64_t, 6> arguments{};
};

// What we put below the thread's stack: frames for a chain of calls, the frame of the thread as it
// was, a buffer. Who is at `start + 8` when rt_sigreturn is called makes the calls of the chain;
// who is at `frame` when a call returns goes on as the thread was.
struct Scratch {
  std::uint64_t start = 0;
  std::uint64_t frame = 0;
  std::uint64_t buffer = 0;        // for the arguments of system calls
  std::vector<std::byte> bytes{};  // at `start`; the buffer, which follows, is not among them
};

inline constexpr std::size_t kScratchBuffer = 8192;

// With room for a chain of so many calls. protocol: the extended state makes no sense.
[[nodiscard]] Expected<Scratch> make_scratch(const ThreadState& state, std::uint64_t restore,
                                             std::size_t calls = 0);
// They are what the room was made for. Signals wait until the last has returned.
void put_chain(Scratch& scratch, const Gadgets& gadgets, std::span<const SystemCall> calls);

// How long the extended state of these features (XSTATE_BV) is in its standard form, from CPUID
// leaf 13 (Intel SDM vol. 1, 13.4).
[[nodiscard]] std::size_t extended_size(std::uint64_t features);

}  // namespace microvmi::host
