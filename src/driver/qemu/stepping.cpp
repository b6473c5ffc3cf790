// SPDX-License-Identifier: Apache-2.0
// How a guest is let go: over the breakpoint that it stands at, or by steps.
#include <algorithm>
#include <array>
#include <string_view>

#include "driver/qemu/events.hpp"
#include "driver/qemu/points.hpp"

namespace microvmi::qemu_driver {
namespace {

using namespace std::chrono_literals;
using qemu::GdbSession;

// A step is done at once. One that is not is that of a vCPU that now sleeps in HLT.
constexpr auto kStepTime = 500ms;

// Enough for prefixes and opcode.
constexpr std::size_t kCode = 8;

// Steps of a vCPU one after the other that may have done nothing. QEMU 7.2 tells one where it was
// kicked before its instruction began (cpu_tb_exec in accel/tcg/cpu-exec.c), as each stop of
// another vCPU does; a jump to itself is one too.
constexpr int kIdleSteps = 32;

// More rounds than a string instruction has that works on a page; then it hits again.
constexpr int kRounds = 5000;

// REP and REPNE before a string instruction (Intel SDM vol. 2B): a step executes one round of it,
// and stands at it again.
bool repeats(std::string_view code) {
  constexpr std::string_view kStrings = "\x6c\x6d\x6e\x6f\xa4\xa5\xa6\xa7\xaa\xab\xac\xad\xae\xaf";
  constexpr std::string_view kPrefixes = "\xf2\xf3\x66\x67\x2e\x36\x3e\x26\x64\x65";
  bool rep = false;
  while (!code.empty() && kPrefixes.find(code.front()) != std::string_view::npos) {
    rep = rep || code.front() == '\xf2' || code.front() == '\xf3';
    code.remove_prefix(1);
  }
  if (!code.empty() && (static_cast<unsigned char>(code.front()) & 0xF0U) == 0x40U)
    code.remove_prefix(1);  // REX
  return rep && !code.empty() && kStrings.find(code.front()) != std::string_view::npos;
}

}  // namespace

// Whether a vCPU is where it was before its step, and worth another one.
bool DriverEvents::is_idle(std::uint32_t vcpu, const Registers& registers) {
  const auto before = before_step_.find(vcpu);
  const bool idle = before != before_step_.end() && before->second == registers &&
                    ++idle_steps_[vcpu] < kIdleSteps;
  if (!idle) idle_steps_.erase(vcpu);
  before_step_[vcpu] = registers;
  return idle;
}

void DriverEvents::look_at_code(GdbSession& stub, const qemu::GdbPoint& point) {
  if (is_watch(point)) return;
  std::erase(repeating_, point.gva);
  const auto code = stub.peek(point.gva, kCode);
  if (code && repeats(*code)) repeating_.push_back(point.gva);
}

bool DriverEvents::has_point_at(std::uint64_t rip) const {
  return std::ranges::any_of(attachment_.points(), [rip](const qemu::GdbPoint& one) {
    return !is_watch(one) && one.gva == rip;
  });
}

std::vector<std::uint32_t> DriverEvents::steppers(const GdbSession& stub) const {
  std::vector<std::uint32_t> out;
  for (const std::uint32_t vcpu : stub.vcpus())
    if (std::ranges::any_of(asked_, [vcpu](const Asked& one) {
          return std::holds_alternative<SingleStep::Filter>(one.what) &&
                 (one.vcpu == kEveryVcpu || one.vcpu == VcpuId{vcpu});
        }))
      out.push_back(vcpu);
  return out;
}

// What vCPUs did at the same moment as the one that was told of is found first: then there are
// events, and nothing runs.
Expected<void> DriverEvents::go_on(GdbSession& stub) {
  if (attachment_.take_written())  // perhaps rip was
    if (auto done = look_at_points(stub); !done) return done;
  if (auto done = step_over(stub); !done) return done;
  if (!attachment_.early().empty()) return {};
  if (auto done = find_steps(stub); !done) return done;
  if (watches())
    if (auto done = find_hits(stub); !done) return done;
  if (!attachment_.early().empty() || !ready_.empty()) return {};
  if (watches()) {
    unheard_ = {stub.vcpus().begin(), stub.vcpus().end()};
    watched_ = true;
  }
  if (const auto vcpu = std::exchange(unseen_, std::nullopt)) return run_and_see(stub, *vcpu);
  const auto steps = steppers(stub);
  if (steps.empty()) {
    before_step_.clear();
    return stub.run();
  }
  if (auto done = begin_steps(stub, steps); !done) return done;
  return stub.step(steps, GdbSession::Others::running);
}

Expected<void> DriverEvents::look_at_points(GdbSession& stub) {
  for (auto one = at_point_.begin(); one != at_point_.end();) {
    auto now = stub.read(one->first);
    if (!now) return std::unexpected(std::move(now.error()));
    one->second = *std::move(now);
    one = has_point_at(one->second[Reg::rip].value_or(0)) ? std::next(one) : at_point_.erase(one);
  }
  before_step_.clear();
  return {};
}

Expected<void> DriverEvents::step_over(GdbSession& stub) {
  while (!at_point_.empty() && attachment_.early().empty()) {
    const auto one = at_point_.extract(at_point_.begin());
    if (auto done = step_over(stub, one.key(), one.mapped()); !done) return done;
  }
  hit_again_ = false;
  return {};
}

// Alone, so that no other vCPU can stop at the same time; interrupts wait, so that it is really the
// instruction under the breakpoint that is executed.
Expected<void> DriverEvents::step_over(GdbSession& stub, std::uint32_t vcpu,
                                       const Registers& state) {
  point_ = state[Reg::rip].value_or(0);
  before_step_[vcpu] = state;
  idle_steps_.erase(vcpu);
  if (auto done = stub.hold_interrupts(true); !done) return done;
  if (!kvm_) return step_off(stub, vcpu);
  const std::vector<qemu::GdbPoint> points = attachment_.points();
  for (const qemu::GdbPoint& one : points)
    if (auto done = stub.remove(one); !done) return done;
  auto stepped = step_off(stub, vcpu);
  for (const qemu::GdbPoint& one : points)
    if (auto done = stub.insert(one); !done) return done;
  return stepped;
}

// How each of them stands now, to see what its step does.
Expected<void> DriverEvents::begin_steps(GdbSession& stub,
                                         const std::vector<std::uint32_t>& steps) {
  std::erase_if(before_step_, [&steps](const auto& one) {
    return std::ranges::find(steps, one.first) == steps.end();
  });
  for (const std::uint32_t vcpu : steps) {
    if (before_step_.contains(vcpu)) continue;
    auto now = stub.read(vcpu);
    if (!now) return std::unexpected(std::move(now.error()));
    before_step_.emplace(vcpu, *std::move(now));
  }
  stepping_ = steps;
  return stub.hold_interrupts(false);
}

// Of vCPUs that stop at the same moment the stub tells one. The others have made their steps.
Expected<void> DriverEvents::find_steps(GdbSession& stub) {
  const auto steps = steppers(stub);
  for (const std::uint32_t vcpu : stepping_) {
    const auto before = before_step_.find(vcpu);
    if (before == before_step_.end() || std::ranges::find(steps, vcpu) == steps.end()) continue;
    const auto now = stub.read(vcpu);
    if (!now) return std::unexpected(now.error());
    if (before->second == *now) continue;
    before->second = *now;
    tell_where(VcpuId{vcpu}, *now);
  }
  attachment_.hold(!ready_.empty());
  return {};
}

// After a step off the breakpoint. A vCPU that stands elsewhere was not idle, and what else changed
// need not be asked, unless the step that follows is compared with it.
Expected<bool> DriverEvents::was_idle(GdbSession& stub, std::uint32_t vcpu, std::uint64_t rip,
                                      bool steps_on) {
  if (rip != point_ && !steps_on) {
    before_step_.erase(vcpu);
    idle_steps_.erase(vcpu);
    return false;
  }
  const auto now = stub.read(vcpu);
  if (!now) return std::unexpected(now.error());
  return is_idle(vcpu, *now);
}

// Whether the vCPU has left the breakpoint and steps no more. The stub may tell of another vCPU,
// which hit its own breakpoint a little later than the one that was told of: it stands there still
// and hits it again. But a step that was not told goes on, and would pass over a breakpoint.
Expected<bool> DriverEvents::is_off(GdbSession& stub, const qemu::GdbStop& stop,
                                    std::uint32_t vcpu) {
  const auto steps = steppers(stub);
  const bool asked = std::ranges::find(steps, vcpu) != steps.end();
  const bool own = stop.thread == vcpu + 1;
  const auto now = stub.read(vcpu, Reg::rip);
  if (!now) return std::unexpected(now.error());
  const std::uint64_t rip = now->value_or(0);
  if (own && stop.watch == qemu::GdbStop::Watch::none) {
    const auto idle = was_idle(stub, vcpu, rip, asked);
    if (!idle || *idle) return idle ? Expected<bool>(false) : idle;
  }
  if (stop.watch != qemu::GdbStop::Watch::none || (own && asked))
    attachment_.early().push_back(stop);
  const bool repeats = std::ranges::find(repeating_, point_) != repeating_.end();
  if (own && (!repeats || asked)) return true;
  if (rip == point_) return false;
  if (own) return true;
  if (!asked && !has_point_at(rip)) return false;
  attachment_.early().push_back({.signal = qemu::kSigTrap, .thread = vcpu + 1});
  return true;
}

// Whether nothing is left to do but to let the guest run.
bool DriverEvents::can_be_seen_later(const GdbSession& stub, const qemu::GdbStop& stop,
                                     std::uint32_t vcpu) {
  const bool plain = stop.thread == vcpu + 1 && stop.watch == qemu::GdbStop::Watch::none;
  return plain && !kvm_ && !hit_again_ && at_point_.empty() && attachment_.early().empty() &&
         ready_.empty() && stepping_.empty() && !watches() && steppers(stub).empty() &&
         std::ranges::find(repeating_, point_) == repeating_.end();
}

// Spares each breakpoint a question before the guest goes on. Where the answer is that the step did
// nothing, the vCPU hits the breakpoint once more that it stands at.
Expected<void> DriverEvents::run_and_see(GdbSession& stub, std::uint32_t vcpu) {
  const auto rip = stub.run_reading(vcpu, Reg::rip);
  if (!rip) return std::unexpected(rip.error());
  if (rip->value_or(0) == point_) again_.insert_or_assign(vcpu, before_step_.at(vcpu));
  before_step_.clear();
  return {};
}

// Then it is no event, and the vCPU is stepped again. With other registers it is another hit: of
// another task, after an interrupt.
bool DriverEvents::hits_again(std::uint32_t vcpu, const Registers& registers) {
  const auto before = again_.extract(vcpu);
  if (!before || before.mapped() != registers) return false;
  at_point_.insert_or_assign(vcpu, registers);
  hit_again_ = true;
  return true;
}

// What else the instruction did, hitting a watchpoint or being a step that was asked for, is kept.
Expected<void> DriverEvents::step_off(GdbSession& stub, std::uint32_t vcpu) {
  const std::array<std::uint32_t, 1> alone{vcpu};
  for (int round = 0; round < kRounds; ++round) {
    if (auto done = stub.step(alone, GdbSession::Others::stopped); !done) return done;
    const auto stop = stub.next_stop(Wait::at_most(kStepTime));
    if (!stop && stop.error().code != Errc::timed_out) return std::unexpected(stop.error());
    if (!stop) return attachment_.halt();
    if (can_be_seen_later(stub, *stop, vcpu)) {
      unseen_ = vcpu;
      return {};
    }
    const auto off = is_off(stub, *stop, vcpu);
    if (!off) return std::unexpected(off.error());
    if (*off) return {};
  }
  return {};
}

// A step that the stub has not told keeps a vCPU stepping, and the guest would stop for nobody.
Expected<void> DriverEvents::end_steps(GdbSession& stub) {
  before_step_.clear();
  for (const std::uint32_t vcpu : std::exchange(stepping_, {})) {
    const std::array<std::uint32_t, 1> alone{vcpu};
    if (auto done = stub.attend(vcpu); !done) return done;
    if (auto done = stub.step(alone, GdbSession::Others::stopped); !done) return done;
    const auto stop = stub.next_stop(Wait::at_most(kStepTime));
    if (!stop && stop.error().code == Errc::timed_out)
      if (auto done = attachment_.halt(); !done) return done;
  }
  return {};
}

}  // namespace microvmi::qemu_driver
