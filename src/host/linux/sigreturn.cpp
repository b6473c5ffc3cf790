// SPDX-License-Identifier: Apache-2.0
// The frame as the kernel lays it out: arch/x86/include/asm/sigframe.h and
// arch/x86/include/uapi/asm/{ucontext,sigcontext}.h.
#include "host/linux/sigreturn.hpp"

#include <cpuid.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace microvmi::host {
namespace {

struct Frame {
  std::uint64_t return_address = 0;
  std::uint64_t flags = 7;  // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
  std::uint64_t link = 0;
  // No mode of sigaltstack(2): it is refused, which rt_sigreturn ignores, and the stack for signals
  // stays what it is. We could not know it.
  std::uint64_t stack = 0;
  std::uint32_t stack_flags = 0x7FFF'FFFF;
  std::uint32_t padding = 0;
  std::uint64_t stack_size = 0;
  std::array<std::uint64_t, 18> registers{};  // r8-r15, then as in Place
  std::uint16_t cs = 0;
  std::uint16_t gs = 0;
  std::uint16_t fs = 0;
  std::uint16_t ss = 0;
  std::uint64_t error = 0;
  std::uint64_t trap = 0;
  std::uint64_t old_mask = 0;
  std::uint64_t cr2 = 0;
  std::uint64_t extended = 0;
  std::array<std::uint64_t, 8> reserved{};
  std::uint64_t blocked = 0;
  std::array<std::byte, 128> info{};  // siginfo_t
};
static_assert(offsetof(Frame, registers) == 48 && offsetof(Frame, blocked) == 304);
enum Place : std::uint8_t { r8, r9, r10, rdi = 8, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags };

// Where struct _fpx_sw_bytes is in the 512 bytes of FXSAVE, and what it says.
struct Software {
  std::uint32_t magic = 0x46505853;  // FP_XSTATE_MAGIC1
  std::uint32_t whole_size = 0;
  std::uint64_t features = 0;
  std::uint32_t size = 0;
  std::array<std::uint32_t, 7> padding{};
};
static_assert(sizeof(Software) == 48);
constexpr std::size_t kSoftwareAt = 464;
constexpr std::uint32_t kMagic2 = 0x46505845;  // FP_XSTATE_MAGIC2
constexpr std::size_t kLegacy = 512;           // of FXSAVE; the header of XSAVE follows
constexpr std::size_t kHeader = 64;
constexpr std::uint64_t kLegacyFeatures = 3;  // x87 and SSE

constexpr std::uint64_t kRedZone = 128;  // below the stack pointer, in use (System V ABI)
constexpr std::uint64_t kAlignment = 64;

constexpr std::uint64_t up(std::uint64_t value) {
  return (value + kAlignment - 1) & ~(kAlignment - 1);
}
constexpr std::uint64_t kFrameStep = up(sizeof(Frame));

template <std::size_t N>
std::size_t find(std::span<const std::byte> code, const std::array<std::uint8_t, N>& wanted) {
  const auto* const first = reinterpret_cast<const std::uint8_t*>(code.data());
  const auto* const at = std::search(first, first + code.size(), wanted.begin(), wanted.end());
  return at == first + code.size() ? kNoGadget : static_cast<std::size_t>(at - first);
}

Frame frame_of(const ThreadState& state, std::uint64_t restore) {
  const user_regs_struct& r = state.registers;
  Frame out;
  out.return_address = restore;
  out.registers = {r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi,
                   r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip, r.eflags};
  out.cs = static_cast<std::uint16_t>(r.cs);
  out.ss = static_cast<std::uint16_t>(r.ss);
  out.blocked = state.blocked_signals;
  return out;
}

// The extended state as a signal handler finds it: marked at its beginning and behind its end.
Expected<std::vector<std::byte>> marked(const std::vector<std::byte>& state) {
  if (state.size() < kLegacy + kHeader)
    return fail(Errc::protocol, "the processor's state of a thread is too short");
  std::uint64_t features = 0;
  std::memcpy(&features, state.data() + kLegacy, sizeof features);
  features |= kLegacyFeatures;
  const std::size_t size = extended_size(features);
  if (size > state.size())
    return fail(Errc::protocol, "the processor's state of a thread is shorter than it says");
  std::vector<std::byte> out(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(size));
  const Software software{.whole_size = static_cast<std::uint32_t>(size + sizeof kMagic2),
                          .features = features,
                          .size = static_cast<std::uint32_t>(size)};
  std::memcpy(out.data() + kSoftwareAt, &software, sizeof software);
  out.resize(size + sizeof kMagic2);
  std::memcpy(out.data() + size, &kMagic2, sizeof kMagic2);
  return out;
}

// Where the state of each feature ends. Asked once: a virtual machine leaves for its host at each
// CPUID.
std::array<std::size_t, 63> ends_of_features() {
  constexpr unsigned kLeaf = 13;
  std::array<std::size_t, 63> out{};
  for (unsigned feature = 2; feature < out.size(); ++feature) {
    unsigned length = 0;
    unsigned offset = 0;
    unsigned ignored = 0;
    if (__get_cpuid_count(kLeaf, feature, &length, &offset, &ignored, &ignored) != 0)
      out[feature] = std::size_t{offset} + length;
  }
  return out;
}

}  // namespace

std::size_t find_call(std::span<const std::byte> code) {
  return find(code, std::array<std::uint8_t, 3>{0x0F, 0x05, 0xC3});
}

std::size_t find_restore(std::span<const std::byte> code) {
  // The number is SYS_rt_sigreturn. glibc and musl move 64 bits, others may move 32.
  const std::size_t wide =
      find(code, std::array<std::uint8_t, 9>{0x48, 0xC7, 0xC0, 0x0F, 0, 0, 0, 0x0F, 0x05});
  if (wide != kNoGadget) return wide;
  return find(code, std::array<std::uint8_t, 7>{0xB8, 0x0F, 0, 0, 0, 0x0F, 0x05});
}

namespace {

// What `out` lacks and this code, which is at `at`, has.
void add(Gadgets& out, std::span<const std::byte> code, std::uint64_t at) {
  if (const auto place = find_call(code); out.call == 0 && place != kNoGadget)
    out.call = at + place;
  if (const auto place = find_restore(code); out.restore == 0 && place != kNoGadget)
    out.restore = at + place;
}

}  // namespace

Expected<Gadgets> find_gadgets(const Process& process) {
  constexpr std::uint64_t kMost = std::uint64_t{256} << 20;  // of code that is looked through
  constexpr std::uint64_t kPart = std::uint64_t{1} << 20;
  constexpr std::uint64_t kOverlap = 16;
  const auto maps = read_maps(process.pid());
  if (!maps) return std::unexpected(maps.error());
  Gadgets out;
  std::uint64_t looked = 0;
  std::vector<std::byte> code(kPart + kOverlap);
  for (const Mapping& one : *maps) {
    // Code of files alone: what a compiler in the process makes may go away again.
    if (!one.execute || one.write || one.inode == 0) continue;
    for (std::uint64_t at = one.start; at < one.end && looked < kMost; at += kPart) {
      const std::size_t wanted = std::min<std::uint64_t>(code.size(), one.end - at);
      const ssize_t got = ::pread(process.memory(), code.data(), wanted, static_cast<off_t>(at));
      looked += kPart;
      if (got <= 0) break;
      add(out, std::span(code).first(static_cast<std::size_t>(got)), at);
      if (out.call != 0 && out.restore != 0) return out;
    }
  }
  return fail(Errc::not_supported,
              fmt::format("process {} has no code by which a system call could be run in it and "
                          "the thread restored",
                          process.pid()));
}

std::size_t extended_size(std::uint64_t features) {
  static const auto ends = ends_of_features();
  std::size_t size = kLegacy + kHeader;
  for (std::size_t feature = 2; feature < ends.size(); ++feature)
    if ((features >> feature & 1U) != 0) size = std::max(size, ends[feature]);
  return size;
}

Expected<Scratch> make_scratch(const ThreadState& state, std::uint64_t restore, std::size_t calls) {
  const auto extended = marked(state.extended);
  if (!extended) return std::unexpected(extended.error());
  const std::uint64_t frame_at = calls * kFrameStep;
  const std::uint64_t extended_at = frame_at + kFrameStep;
  const std::uint64_t buffer_at = up(extended_at + extended->size());
  const std::uint64_t whole = buffer_at + kScratchBuffer + kRedZone + kAlignment;
  if (state.registers.rsp < whole) return fail(Errc::not_supported, "the thread has no stack");
  Scratch out;
  out.start = (state.registers.rsp - whole) & ~(kAlignment - 1);
  out.frame = out.start + frame_at;
  out.buffer = out.start + buffer_at;
  out.bytes.resize(buffer_at);
  Frame frame = frame_of(state, restore);
  frame.extended = out.start + extended_at;
  std::memcpy(out.bytes.data() + frame_at, &frame, sizeof frame);
  std::ranges::copy(*extended, out.bytes.begin() + static_cast<std::ptrdiff_t>(extended_at));
  return out;
}

void put_chain(Scratch& scratch, const Gadgets& gadgets, std::span<const SystemCall> calls) {
  Frame frame;
  std::memcpy(&frame, scratch.bytes.data() + (scratch.frame - scratch.start), sizeof frame);
  frame.blocked = ~std::uint64_t{0};
  auto& registers = frame.registers;
  registers[rip] = gadgets.call;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto& arguments = calls[i].arguments;
    registers[rsp] = scratch.start + (i + 1) * kFrameStep;  // where its `ret` finds the next frame
    registers[rax] = static_cast<std::uint64_t>(calls[i].number);
    registers[rdi] = arguments[0];
    registers[rsi] = arguments[1];
    registers[rdx] = arguments[2];
    registers[r10] = arguments[3];
    registers[r8] = arguments[4];
    registers[r9] = arguments[5];
    std::memcpy(scratch.bytes.data() + i * kFrameStep, &frame, sizeof frame);
  }
}

}  // namespace microvmi::host
