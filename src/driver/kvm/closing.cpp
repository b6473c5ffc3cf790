// SPDX-License-Identifier: Apache-2.0
// Closing: everything that was done to the guest is undone.
#include <algorithm>

#include "driver/kvm/vcpus.hpp"

namespace microvmi::kvm {
namespace {

Request original_request(Gpa gpa, std::span<const std::byte> byte) {
  Request out(Command::write_physical, {{Field::gpa, to_integer(gpa)}, {Field::size, 1}});
  out.tail = byte;
  return out;
}

}  // namespace

// In this order nobody sees anything of it: first the bytes, then the switches, then the vCPUs that
// wait because of them.
void Vcpus::close() {
  constexpr std::chrono::milliseconds kMost{2'000};
  {
    const std::lock_guard lock(mutex_);
    if (!connection_) return;
    asked_.clear();
    vm_events_.clear();
  }
  const Wait wait = Wait::at_most(std::min(kMost, answer_time_));
  const auto bytes = patches_.leave_all(count_);
  std::vector<Request> writes;
  writes.reserve(bytes.size());
  for (const auto& [gpa, original] : bytes)
    writes.push_back(original_request(gpa, std::span(&original, 1)));
  static_cast<void>(connection_->run(writes, wait).has_value());
  static_cast<void>(apply(wait).has_value());
  {
    const std::lock_guard lock(mutex_);
    if (step_)
      for (const Switch& one : step_->on)
        post(request_for(abilities_.dialect, step_->vcpu, one, false));
    step_.reset();
    to_step_.clear();
    pauses_ = 0;
    for (auto& [index, vcpu] : vcpus_) {
      vcpu.holds = 0;
      if (vcpu.waiting) answer_by_default(index, vcpu);
    }
  }
  settle_pauses(wait);
  connection_->drain(wait);
}

// A pause that was asked for just now is told within a moment, unless its vCPU never ran; the end
// of the connection clears what is left.
void Vcpus::settle_pauses(const Wait& wait) {
  constexpr std::chrono::milliseconds kMoment{1'000};
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, wait.within(kMoment).deadline, [this] {
    return end_ ||
           std::ranges::all_of(vcpus_, [](const auto& one) { return one.second.owed == 0; });
  });
}

void Vcpus::detach() {
  const std::lock_guard lock(mutex_);
  connection_ = nullptr;
  closed_ = true;
}

}  // namespace microvmi::kvm
