// SPDX-License-Identifier: Apache-2.0
// What KvmControl does by ioctls that the thread of a vCPU makes for us.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "host/linux/kvm_control.hpp"
#include "host/linux/kvm_state.hpp"

namespace microvmi::host {
namespace {

// By hand: C++ may see another size of a structure that ends in a flexible array than C.
constexpr std::uint64_t kGetMsrs = _IOWR(KVMIO, 0x88, std::uint64_t);
constexpr std::uint64_t kSetMsrs = _IOW(KVMIO, 0x89, std::uint64_t);
constexpr std::size_t kXsaveSize = 4096;
using XsaveArea = std::array<std::byte, kXsaveSize>;
constexpr std::uint64_t kGetXsave = _IOR(KVMIO, 0xa4, XsaveArea);

constexpr std::size_t kMostMsrs = 16;
struct MsrBatch {
  std::uint32_t count = 0;
  std::uint32_t padding = 0;
  std::array<kvm_msr_entry, kMostMsrs> entries{};
};

MsrBatch msr_batch(const std::vector<std::uint32_t>& indices) {
  MsrBatch out;
  for (const std::uint32_t index : indices)
    if (out.count < kMostMsrs) out.entries[out.count++].index = index;
  return out;
}

void take_msrs(std::span<const kvm_msr_entry> from, Registers& to) {
  for (const KvmMsr& one : kvm_msrs())
    for (const kvm_msr_entry& entry : from)
      if (entry.index == one.index) to.set(one.reg, entry.data);
}

template <class T>
std::span<std::byte> bytes_of(T& data) {
  return std::as_writable_bytes(std::span(&data, 1));
}

// Ioctls on one vCPU, from the first failure on none.
class Ioctls {
 public:
  Ioctls(Injection& injection, int fd, const Wait& wait)
      : injection_(injection), fd_(fd), wait_(wait) {}

  template <class T>
  Expected<std::int64_t> operator()(std::uint64_t request, T& data, const char* what) {
    const auto result = injection_.control(fd_, request, bytes_of(data), wait_);
    if (!result || *result >= 0) return result;
    return fail(*result == -EINVAL ? Errc::invalid_argument : Errc::io,
                fmt::format("KVM refuses {}: {}", what, std::strerror(static_cast<int>(-*result))));
  }

 private:
  Injection& injection_;
  int fd_;
  const Wait& wait_;
};

Expected<void> done(const Expected<std::int64_t>& result) {
  if (!result) return std::unexpected(result.error());
  return {};
}

Expected<void> read_msrs(Ioctls& ioctl, std::vector<std::uint32_t>& indices, Registers& registers) {
  while (true) {
    MsrBatch batch = msr_batch(indices);
    const std::size_t asked = batch.count;  // what comes back is the other process's word
    const auto told = ioctl(kGetMsrs, batch, "to tell MSRs");
    if (!told) return done(told);
    const auto count = static_cast<std::size_t>(*told);
    if (count >= asked) {
      take_msrs(std::span(batch.entries).first(asked), registers);
      return {};
    }
    // It stops at one that this guest does not have.
    indices.erase(indices.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace

Expected<Injection> KvmControl::injection(Stopped at) {
  if (!gadgets_)
    return fail(Errc::not_supported, "registers can be read and nothing else be done", {},
                "ask for it with intrusive = inject");
  return Injection::begin(*at.tracee, *gadgets_);
}

// All that the kvm_run page has not, by one chain of calls. KVM clears or sets what marks them; an
// MSR that is what we put there is read again in the other way, which is not wrong, only slow.
Expected<bool> KvmControl::read_on_the_way(Stopped at, Registers& registers, const Wait& wait) {
  constexpr std::uint64_t kUntouched = 0x6D69'6372'6F76'6D69;
  if (!gadgets_) return false;
  MsrBatch batch = msr_batch(msrs_);
  const std::size_t asked = batch.count;
  for (kvm_msr_entry& one : std::span(batch.entries).first(asked)) one.data = kUntouched;
  kvm_debugregs debug{};
  debug.reserved[0] = kUntouched;  // KVM_GET_DEBUGREGS clears it
  kvm_xcrs extended{};             // without XCR0 until KVM_GET_XCRS puts it there
  const std::array<Control, 3> calls{{{kGetMsrs, bytes_of(batch)},
                                      {KVM_GET_DEBUGREGS, bytes_of(debug)},
                                      {KVM_GET_XCRS, bytes_of(extended)}}};
  const auto made = go_on_by_way_of(*at.tracee, *gadgets_, at.vcpu.where.fds.front(), calls, wait);
  if (!made && made.error().code == Errc::busy) return false;
  if (!made) return std::unexpected(made.error());
  const auto told = std::span(std::as_const(batch.entries)).first(asked);
  const bool all =
      std::ranges::none_of(told, [](const kvm_msr_entry& one) { return one.data == kUntouched; });
  if (!all || debug.reserved[0] == kUntouched) return false;
  take_msrs(told, registers);
  take(debug, registers);
  take(extended, registers);
  return true;
}

Expected<void> KvmControl::read_rest(Stopped at, Registers& registers, const Wait& wait) {
  auto calls = injection(at);
  if (!calls) return std::unexpected(calls.error());
  Ioctls ioctl(*calls, at.vcpu.where.fds.front(), wait);
  if (auto ok = read_msrs(ioctl, msrs_, registers); !ok) return ok;
  kvm_debugregs debug{};
  if (auto ok = ioctl(KVM_GET_DEBUGREGS, debug, "to tell debug registers"); !ok) return done(ok);
  take(debug, registers);
  kvm_xcrs extended{};
  if (ioctl(KVM_GET_XCRS, extended, "to tell XCR0")) take(extended, registers);
  return {};
}

namespace {

Expected<void> write_msrs(Ioctls& ioctl, const Registers& registers) {
  MsrBatch batch;
  for (const kvm_msr_entry& one : msrs_of(registers)) batch.entries[batch.count++] = one;
  const std::size_t asked = batch.count;
  if (asked == 0) return {};
  const auto ok = ioctl(kSetMsrs, batch, "an MSR");
  if (!ok || static_cast<std::size_t>(*ok) >= asked) return done(ok);
  return fail(Errc::not_supported, fmt::format("KVM refuses MSR {:#x}, those before it are written",
                                               batch.entries[static_cast<std::size_t>(*ok)].index));
}

Expected<void> write_debug(Ioctls& ioctl, const Registers& registers) {
  kvm_debugregs debug{};
  if (!put(registers, debug)) return {};
  if (auto ok = ioctl(KVM_GET_DEBUGREGS, debug, "to tell debug registers"); !ok) return done(ok);
  static_cast<void>(put(registers, debug));
  return done(ioctl(KVM_SET_DEBUGREGS, debug, "debug registers"));
}

}  // namespace

Expected<void> KvmControl::write_all(Stopped at, const Registers& registers, const Wait& wait) {
  auto calls = injection(at);
  if (!calls) return std::unexpected(calls.error());
  Ioctls ioctl(*calls, at.vcpu.where.fds.front(), wait);
  kvm_sync_regs& state = at.vcpu.state;
  kvm_sregs system = state.sregs;
  if (put(registers, system))
    if (auto ok = ioctl(KVM_SET_SREGS, system, "segment or control registers"); !ok)
      return done(ok);
  state.sregs = system;
  if (auto ok = write_msrs(ioctl, registers); !ok) return ok;
  if (auto ok = write_debug(ioctl, registers); !ok) return ok;
  kvm_xcrs extended{};
  if (put(registers, extended))
    if (auto ok = ioctl(KVM_SET_XCRS, extended, "XCR0"); !ok) return done(ok);
  kvm_regs general = state.regs;
  if (put(registers, general))
    if (auto ok = ioctl(KVM_SET_REGS, general, "general registers"); !ok) return done(ok);
  state.regs = general;
  // As KVM has it now: some bits are its own.
  if (auto ok = ioctl(KVM_GET_SREGS, state.sregs, "to tell segments"); !ok) return done(ok);
  return done(ioctl(KVM_GET_REGS, state.regs, "to tell registers"));
}

Expected<void> KvmControl::write(std::size_t vcpu, const Registers& registers, const Wait& wait) {
  if (auto good = check(vcpu); !good) return good;
  if (!inject_)
    return fail(Errc::not_supported, "registers of this guest can only be read", {},
                "writing needs intrusive = inject");
  return in_job([&] {
    return stopped(vcpu, wait, [&](Stopped at) { return write_all(at, registers, wait); });
  });
}

Expected<std::vector<std::byte>> KvmControl::read_xsave(std::size_t vcpu, const Wait& wait) {
  if (auto good = check(vcpu); !good) return std::unexpected(good.error());
  XsaveArea area{};
  const auto read = in_job([&] {
    return stopped(vcpu, wait, [&](Stopped at) -> Expected<void> {
      auto calls = injection(at);
      if (!calls) return std::unexpected(calls.error());
      const auto told = calls->control(at.vcpu.where.fds.front(), kGetXsave, bytes_of(area), wait);
      return told ? check_xsave(*told) : done(told);
    });
  });
  if (!read) return std::unexpected(read.error());
  return std::vector<std::byte>(area.begin(), area.end());
}

// The process makes it, we take it, the process closes it: what it does ends with us.
Expected<Descriptor> KvmControl::make_userfaultfd(const Wait& wait) {
  Descriptor out;
  const auto made = in_job([&] {
    return stopped(0, wait, [&](Stopped at) -> Expected<void> {
      auto calls = injection(at);
      if (!calls) return std::unexpected(calls.error());
      const auto fd =
          calls->call(SYS_userfaultfd, {O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY}, wait);
      if (!fd) return std::unexpected(fd.error());
      if (*fd < 0)
        return system_failure(static_cast<int>(-*fd),
                              fmt::format("process {} cannot make a userfaultfd", process_.pid()));
      out = Descriptor(static_cast<int>(
          ::syscall(SYS_pidfd_getfd, process_.pidfd(), static_cast<int>(*fd), 0U)));
      const int error = errno;
      const auto closed = calls->call(SYS_close, {static_cast<std::uint64_t>(*fd)}, wait);
      if (!closed) return std::unexpected(closed.error());
      if (!out) return system_failure(error, "cannot take a userfaultfd over");
      return {};
    });
  });
  if (!made) return std::unexpected(made.error());
  return out;
}

}  // namespace microvmi::host
