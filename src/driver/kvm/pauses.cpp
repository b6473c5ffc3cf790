// SPDX-License-Identifier: Apache-2.0
// Pausing and going on: what the kernel owes and what it is owed.
#include <fmt/format.h>

#include <cerrno>

#include "driver/kvm/vcpus.hpp"

namespace microvmi::kvm {

Expected<void> Vcpus::refresh_count() {
  const auto count = count_vcpus(*connection_, answer_wait());
  if (!count) return std::unexpected(count.error());
  count_ = *count;
  return {};
}

Expected<std::uint16_t> Vcpus::index_of(VcpuId vcpu) {
  if (to_integer(vcpu) >= count_)
    if (auto done = refresh_count(); !done) return std::unexpected(std::move(done.error()));
  if (to_integer(vcpu) < count_) return static_cast<std::uint16_t>(to_integer(vcpu));
  return fail(Errc::not_found,
              fmt::format("there is no vcpu {}: the guest has {}", to_integer(vcpu), count_.load()),
              vcpu);
}

// One more reason for it to stand still. Where a pause is owed already, it will stand still without
// another one; and where it is held it does.
bool Vcpus::needs_pause(Vcpu& vcpu) {
  ++vcpu.holds;
  const bool held = vcpu.waiting && vcpu.stage == Stage::held;
  if (held || vcpu.owed != 0) return false;
  ++vcpu.owed;
  return true;
}

// A pause that is still owed is answered as soon as it is told, see route().
void Vcpus::drop_hold(Vcpu& vcpu) {
  if (vcpu.holds != 0) --vcpu.holds;
  if (vcpu.holds == 0 && vcpu.waiting && vcpu.stage == Stage::held) answer(vcpu, Action::proceed);
}

Expected<void> Vcpus::pause() {
  if (pauses_ != 0) return ++pauses_, Expected<void>{};
  if (auto done = refresh_count(); !done) return done;
  std::vector<Request> requests;
  {
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i < count_; ++i) {
      const auto index = static_cast<std::uint16_t>(i);
      Vcpu& vcpu = vcpus_[index];
      vcpu.paused = true;
      if (needs_pause(vcpu))
        requests.push_back(Request(Command::pause_vcpu, {{Field::vcpu, index}, {Field::wait, 1}}));
    }
    pauses_ = 1;
  }
  auto done = connection_->run(requests, answer_wait());
  {
    const std::lock_guard lock(mutex_);
    for (const Request& request : requests) {
      if (!request.answered || request.code == 0) continue;
      const auto index = static_cast<std::uint16_t>(request.values[0].value);
      if (vcpus_[index].owed != 0) --vcpus_[index].owed;
      // One that was never started stands still as it is.
      if (done && request.code != -EAGAIN)
        done = std::unexpected(error_of(request.code, fmt::format("cannot pause vcpu {}", index)));
    }
  }
  if (!done) static_cast<void>(resume().has_value());
  return done;
}

Expected<void> Vcpus::resume() {
  const std::lock_guard lock(mutex_);
  if (pauses_ == 0) return fail(Errc::busy, "resume without a pause");
  if (--pauses_ != 0) return {};
  for (auto& [index, vcpu] : vcpus_) {
    if (!vcpu.paused) continue;
    vcpu.paused = false;
    drop_hold(vcpu);
  }
  if (end_) return std::unexpected(*end_);
  return {};
}

Expected<bool> Vcpus::running() {
  const std::lock_guard lock(mutex_);
  if (end_) return std::unexpected(*end_);
  return pauses_ == 0;
}

Expected<void> Vcpus::hold(std::uint16_t index) {
  std::unique_lock lock(mutex_);
  Vcpu& vcpu = vcpus_[index];
  if (vcpu.waiting) return ++vcpu.holds, Expected<void>{};
  const bool ask = needs_pause(vcpu);
  lock.unlock();
  const Wait wait = answer_wait();
  Expected<void> done;
  if (ask) {
    const auto asked = connection_->call(
        Request(Command::pause_vcpu, {{Field::vcpu, index}, {Field::wait, 1}}), wait);
    if (!asked) done = std::unexpected(asked.error());
  }
  lock.lock();
  const bool refused =
      !done && done.error().code != Errc::timed_out && done.error().code != Errc::disconnected;
  if (refused && vcpu.owed != 0) --vcpu.owed;
  if (done) {
    changed_.wait_until(lock, wait.deadline, [&] { return end_ || vcpu.waiting; });
    if (vcpu.waiting) return {};
    done = end_ ? std::unexpected(*end_)
                : fail(Errc::timed_out, fmt::format("vcpu {} does not stop", index), VcpuId{index},
                       "QEMU may have stopped the guest, or the guest has not started this vcpu");
  }
  drop_hold(vcpu);
  return done;
}

void Vcpus::let_go(std::uint16_t index) {
  const std::lock_guard lock(mutex_);
  drop_hold(vcpus_[index]);
}

std::optional<Regs> Vcpus::written(std::uint16_t index) {
  const std::lock_guard lock(mutex_);
  return vcpus_[index].written;
}

void Vcpus::set_written(std::uint16_t index, const Regs& regs) {
  const std::lock_guard lock(mutex_);
  if (vcpus_[index].waiting) vcpus_[index].written = regs;
}

}  // namespace microvmi::kvm
