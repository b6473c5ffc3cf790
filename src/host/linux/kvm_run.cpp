// SPDX-License-Identifier: Apache-2.0
// Synced registers (KVM_CAP_SYNC_REGS in the kernel's Documentation/virt/kvm/api.rst).
#include "host/linux/kvm_run.hpp"

#include <cstddef>
#include <cstring>
#include <span>

namespace microvmi::host {
namespace {

constexpr std::uint64_t kParts = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
constexpr std::size_t kValid = offsetof(kvm_run, kvm_valid_regs);
constexpr std::size_t kSynced = offsetof(kvm_run, s);
// KVM clears these bytes, and never reads them: what we put there tells whether it has written. It
// writes the events last.
constexpr std::size_t kMark =
    kSynced + offsetof(kvm_sync_regs, events) + offsetof(kvm_vcpu_events, reserved);
constexpr std::uint64_t kMarked = 0x6D69'6372'6F76'6D69;
static_assert(sizeof(kvm_vcpu_events::reserved) >= sizeof kMarked);

template <class T>
Expected<void> store(const Process& process, std::uint64_t at, const T& value) {
  return process.poke(at, std::as_bytes(std::span(&value, 1)));
}

template <class T>
Expected<T> load(const Process& process, std::uint64_t at) {
  T value{};
  auto done = process.peek(at, std::as_writable_bytes(std::span(&value, 1)));
  return done ? Expected<T>(value) : std::unexpected(done.error());
}

}  // namespace

KvmRunPage::~KvmRunPage() {
  if (before_) static_cast<void>(store(process_, address_ + kValid, *before_).has_value());
}

Expected<void> KvmRunPage::ask() {
  if (auto done = store(process_, address_ + kMark, kMarked); !done) return done;
  if (before_) return {};
  const auto valid = load<std::uint64_t>(process_, address_ + kValid);
  if (!valid) return std::unexpected(valid.error());
  // Bits that no kernel knows would make KVM_RUN fail; they are not ours.
  if ((*valid & kParts) == kParts) return {};
  if (auto done = store(process_, address_ + kValid, *valid | kParts); !done) return done;
  before_ = *valid;
  return {};
}

Expected<std::optional<kvm_sync_regs>> KvmRunPage::answer() const {
  auto state = load<kvm_sync_regs>(process_, address_ + kSynced);
  if (!state) return std::unexpected(state.error());
  std::uint64_t mark = 0;
  std::memcpy(&mark, state->events.reserved, sizeof mark);
  if (mark == kMarked) return std::nullopt;
  return *state;
}

}  // namespace microvmi::host
