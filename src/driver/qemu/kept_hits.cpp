// SPDX-License-Identifier: Apache-2.0
// Hits of watchpoints that QEMU keeps to itself.
//
// Of vCPUs that hit one before all stand still, its stub tells the last; each of the others has
// made its access, and QEMU tells of it when that vCPU stops the next time: with its next hit, as
// one (gdb_vm_state_change in gdbstub.c, cpu_check_watchpoint in softmmu/physmem.c of 7.2). So each
// is made to stop once more where it stands, at a breakpoint that is set for that.
#include <algorithm>
#include <optional>

#include "driver/qemu/events.hpp"
#include "driver/qemu/points.hpp"

namespace microvmi::qemu_driver {
namespace {

using namespace std::chrono_literals;
using qemu::GdbPoint;
using qemu::GdbSession;
using qemu::GdbStop;

// It is there already. One that takes longer has an interrupt to serve first, and may be long away.
constexpr auto kPatience = 100ms;

// Interrupts one after the other, or a machine that is busy.
constexpr int kTries = 5;

// Requests to stop that QEMU's main loop had not seen yet.
constexpr int kLateRequests = 8;

// Nothing where it stopped for nothing but us.
Expected<std::optional<GdbStop>> next_or_halt(GdbSession& stub) {
  const auto stop = stub.next_stop(Wait::at_most(kPatience));
  if (stop) return std::optional(*stop);
  if (stop.error().code == Errc::timed_out) return stub.halt();
  return std::unexpected(stop.error());
}

}  // namespace

bool DriverEvents::watches() const { return std::ranges::any_of(attachment_.points(), is_watch); }

// They become stops that came early. What was kept before the guest ran with our watchpoints is
// of another debugger.
Expected<void> DriverEvents::find_hits(GdbSession& stub) {
  while (!unheard_.empty()) {
    const std::uint32_t vcpu = *unheard_.begin();
    if (auto done = find_hit(stub, vcpu); !done) return done;
    unheard_.erase(vcpu);
  }
  return {};
}

// A vCPU that sleeps is behind no access, and would not stop; one that steps heeds no breakpoint,
// and is told of with its next step.
Expected<void> DriverEvents::find_hit(GdbSession& stub, std::uint32_t vcpu) {
  if (std::ranges::find(stepping_, vcpu) != stepping_.end()) return {};
  for (int i = 0; i < kTries; ++i) {
    const auto halted = stub.is_halted(vcpu);
    if (!halted) return std::unexpected(halted.error());
    if (*halted) return {};
    const auto stopped = stop_there(stub, vcpu);
    if (!stopped) return std::unexpected(stopped.error());
    if (*stopped) return {};
  }
  return {};
}

// Whether it stopped, or cannot be made to.
Expected<bool> DriverEvents::stop_there(GdbSession& stub, std::uint32_t vcpu) {
  const auto rip = stub.read(vcpu, Reg::rip);
  if (!rip) return std::unexpected(rip.error());
  const GdbPoint here{kvm_ ? GdbPoint::Kind::hardware : GdbPoint::Kind::software, rip->value_or(0)};
  if (has_point_at(here.gva)) return take_kept(stub, vcpu);
  // Of a processor's four breakpoints there may be none left.
  if (auto done = stub.insert(here); !done)
    return done.error().code == Errc::io ? Expected<bool>(true) : std::unexpected(done.error());
  auto taken = take_kept(stub, vcpu);
  if (auto done = stub.remove(here); !done && taken) return std::unexpected(done.error());
  return taken;
}

Expected<bool> DriverEvents::take_kept(GdbSession& stub, std::uint32_t vcpu) {
  for (int i = 0; i < kLateRequests; ++i) {
    if (auto done = stub.run_alone(vcpu); !done) return std::unexpected(done.error());
    const auto came = next_or_halt(stub);
    if (!came) return std::unexpected(came.error());
    const std::optional<GdbStop>& stop = *came;
    if (!stop) return false;
    const bool other = stop->signal != qemu::kSigTrap;
    const bool kept = stop->watch != GdbStop::Watch::none && watched_;
    if (other || kept) attachment_.early().push_back(*stop);
    if (other || stop->thread == vcpu + 1) return true;
  }
  return true;
}

}  // namespace microvmi::qemu_driver
