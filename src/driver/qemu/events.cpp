// SPDX-License-Identifier: Apache-2.0
// Asking for events, waiting for them, answering them.
#include "driver/qemu/events.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "driver/qemu/points.hpp"
#include "microvmi/address_space.hpp"

namespace microvmi::qemu_driver {
namespace {

using namespace std::chrono_literals;

// How soon a wait for nothing notices its end.
constexpr auto kSlice = 10ms;

bool is_for(VcpuId asked, VcpuId vcpu) { return asked == kEveryVcpu || asked == vcpu; }

Expected<Event> wait_for_nothing(const Wait& wait) {
  while (wait.over() == Errc::none)
    std::this_thread::sleep_for(std::min<Wait::Clock::duration>(
        kSlice, std::max(Wait::Clock::duration::zero(), wait.deadline - Wait::Clock::now())));
  return fail(wait.over(), "no event came, as none is intercepted");
}

}  // namespace

class DriverEvents::Sink final : public ReplySink {
 public:
  explicit Sink(DriverEvents& events) : events_(events) {}
  Expected<void> send(VcpuId, std::uint64_t ticket, const AnyReply& reply) override {
    return events_.answer(ticket, reply);
  }

 private:
  DriverEvents& events_;
};

DriverEvents::DriverEvents(Attachment& attachment, DriverRunControl& run_control,
                           const PhysicalMemory& memory, bool kvm)
    : attachment_(attachment),
      run_control_(run_control),
      memory_(memory),
      kvm_(kvm),
      sink_(std::make_shared<Sink>(*this)) {
  attachment_.run_by([this](qemu::GdbSession& stub) { return go_on(stub); });
}

DriverEvents::~DriverEvents() {
  sink_.reset();
  if (qemu::GdbSession* const stub = attachment_.session()) {
    const bool stopped = attachment_.halt().has_value();
    if (stopped) static_cast<void>(end_steps(*stub).has_value());
  }
  attachment_.run_by({});
}

std::vector<qemu::GdbPoint> DriverEvents::wanted_points() const {
  std::vector<qemu::GdbPoint> out;
  for (const Asked& one : asked_)
    if (const auto point = point_of(one.what); point && std::ranges::find(out, *point) == out.end())
      out.push_back(*point);
  return out;
}

// Sets and removes what changed, of a guest that stands still.
Expected<void> DriverEvents::change_points() {
  const std::vector<qemu::GdbPoint> wanted = wanted_points();
  qemu::GdbSession& stub = *attachment_.session();
  if (auto done = remove_points(stub, wanted); !done) return done;
  return set_points(stub, wanted);
}

Expected<void> DriverEvents::remove_points(qemu::GdbSession& stub,
                                           std::span<const qemu::GdbPoint> wanted) {
  std::vector<qemu::GdbPoint>& set = attachment_.points();
  for (std::size_t i = set.size(); i-- > 0;) {
    if (std::ranges::find(wanted, set[i]) != wanted.end()) continue;
    if (is_watch(set[i]) && !run_control_.paused())
      if (auto done = find_hits(stub); !done) return done;
    if (auto done = stub.remove(set[i]); !done) return done;
    std::erase_if(again_, [&](const auto& one) { return one.second[Reg::rip] == set[i].gva; });
    set.erase(set.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return {};
}

Expected<void> DriverEvents::set_points(qemu::GdbSession& stub,
                                        std::span<const qemu::GdbPoint> wanted) {
  std::vector<qemu::GdbPoint>& set = attachment_.points();
  for (const qemu::GdbPoint& one : wanted) {
    if (std::ranges::find(set, one) != set.end()) continue;
    look_at_code(stub, one);
    if (is_watch(one) && !watches()) {
      unheard_ = {stub.vcpus().begin(), stub.vcpus().end()};
      watched_ = false;
    }
    if (auto done = stub.insert(one); !done) return done;
    set.push_back(one);
  }
  return {};
}

Expected<void> DriverEvents::intercept(VcpuId vcpu, const Intercept& what) {
  if (auto possible = check_intercept(what); !possible) return possible;
  const Asked asked{vcpu, what};
  if (std::ranges::find(asked_, asked) != asked_.end()) return {};
  const auto stub = attachment_.attach();
  if (!stub) return std::unexpected(stub.error());
  run_control_.keep_attached(true);
  const auto& vcpus = (*stub)->vcpus();
  auto result = attachment_.halt();
  if (result && vcpu != kEveryVcpu && std::ranges::find(vcpus, to_integer(vcpu)) == vcpus.end())
    result = fail(Errc::not_found, fmt::format("there is no vCPU {}", to_integer(vcpu)), vcpu);
  if (result && !(*stub)->is_x86())
    result = fail(Errc::not_supported, "events are those of x86 guests alone");
  if (result) {
    asked_.push_back(asked);
    result = change_points();
    if (!result) asked_.pop_back();
  }
  auto left = attachment_.let_run();
  return result ? std::move(left) : std::move(result);
}

void DriverEvents::forget(const Asked& asked) {
  std::erase(asked_, asked);
  std::erase_if(ready_, [&](const Ready& one) { return one.asked == asked; });
}

Expected<void> DriverEvents::release(VcpuId vcpu, const Intercept& what) {
  const Asked asked{vcpu, what};
  if (std::ranges::find(asked_, asked) == asked_.end())
    return fail(Errc::not_found, "it is not intercepted", vcpu);
  qemu::GdbSession* const stub = attachment_.session();
  if (!stub) return fail(Errc::disconnected, "the gdb stub is gone");
  if (auto done = attachment_.halt(); !done) return done;
  forget(asked);
  auto result = change_points();
  if (result && steppers(*stub).empty()) result = end_steps(*stub);
  if (!pending_ && ready_.empty()) attachment_.hold(false);
  if (!asked_.empty() || pending_) {
    auto left = attachment_.let_run();
    return result ? std::move(left) : std::move(result);
  }
  run_control_.keep_attached(false);
  at_point_.clear();
  if (run_control_.paused()) return result;  // by the stub; resume() lets go of it
  auto left = attachment_.detach();
  return result ? std::move(left) : std::move(result);
}

Expected<Event> DriverEvents::next(const Wait& wait) {
  if (pending_)
    return fail(Errc::busy, "the event that was taken has to be answered first: all vCPUs wait");
  while (true) {
    if (!ready_.empty()) return deliver();
    qemu::GdbSession* const stub = attachment_.session();
    if (!stub || asked_.empty()) return wait_for_nothing(wait);
    const auto taken = next_stop(*stub, wait);
    if (!taken) return std::unexpected(taken.error());
    if (const std::optional<qemu::GdbStop>& stop = *taken)
      if (auto done = take_stop(*stop); !done) return std::unexpected(std::move(done.error()));
  }
}

// Nothing where letting the guest run brought an event, or a stop that came before.
Expected<std::optional<qemu::GdbStop>> DriverEvents::next_stop(qemu::GdbSession& stub,
                                                               const Wait& wait) {
  std::deque<qemu::GdbStop>& early = attachment_.early();
  if (!early.empty()) {
    const qemu::GdbStop first = early.front();
    early.pop_front();
    return first;
  }
  if (auto done = attachment_.let_run(); !done) return std::unexpected(std::move(done.error()));
  if (!early.empty() || !ready_.empty()) return std::nullopt;
  return stub.next_stop(wait);
}

Expected<void> DriverEvents::take_stop(const qemu::GdbStop& stop) {
  // By another's hand: the guest goes on when that one lets it, and not by ours.
  if (stop.signal != qemu::kSigTrap) {
    attachment_.should_run(false);
    const char* const trouble = qemu::trouble_of(stop);
    if (!trouble) return {};
    return fail(Errc::io, fmt::format("QEMU stopped the guest: {}", trouble), {},
                "QEMU's own messages and its query-status tell more");
  }
  if (!stop.thread) return fail(Errc::protocol, "the gdb stub does not tell which vCPU stopped");
  if (!run_control_.paused()) attachment_.should_run(true);
  const std::uint32_t index = *stop.thread - 1;
  const VcpuId vcpu{index};
  unheard_.erase(index);
  qemu::GdbSession& stub = *attachment_.session();
  const auto registers = stub.read(index);
  if (!registers) return std::unexpected(registers.error());
  if (std::erase(stepping_, index) != 0 && stop.watch == qemu::GdbStop::Watch::none &&
      is_idle(index, *registers))
    return {};
  if (stop.watch == qemu::GdbStop::Watch::none && hits_again(index, *registers)) return {};
  if (stop.watch != qemu::GdbStop::Watch::none) find_watches(stop, vcpu, *registers);
  tell_where(vcpu, *registers);
  if (auto done = find_steps(stub); !done) return done;
  attachment_.hold(!ready_.empty());
  return {};
}

// What follows from where it stands: a step is done, a breakpoint is reached.
void DriverEvents::tell_where(VcpuId vcpu, const Registers& registers) {
  for (const Asked& one : asked_)
    if (std::holds_alternative<SingleStep::Filter>(one.what) && is_for(one.vcpu, vcpu)) {
      ready_.push_back({SingleStep{}, vcpu, registers, one});
      break;
    }
  find_breakpoints(vcpu, registers);
}

void DriverEvents::find_watches(const qemu::GdbStop& stop, VcpuId vcpu,
                                const Registers& registers) {
  for (const Asked& one : asked_) {
    const auto* const filter = std::get_if<Watchpoint::Filter>(&one.what);
    if (!filter || !is_for(one.vcpu, vcpu) || !covers(*filter, stop)) continue;
    const Gva gva{stop.address};
    ready_.push_back(
        {Watchpoint{gva, physical(registers, gva), filter->access}, vcpu, registers, one});
    return;
  }
}

void DriverEvents::find_breakpoints(VcpuId vcpu, const Registers& registers) {
  const auto rip = registers[Reg::rip];
  at_point_.erase(to_integer(vcpu));
  if (!rip || !has_point_at(*rip)) return;
  at_point_.emplace(to_integer(vcpu), registers);
  for (const Asked& one : asked_) {
    const auto* const filter = std::get_if<Breakpoint::Filter>(&one.what);
    if (!filter || !is_for(one.vcpu, vcpu) || to_integer(filter->gva) != *rip) continue;
    ready_.push_back({Breakpoint{filter->gva, physical(registers, filter->gva), filter->kind}, vcpu,
                      registers, one});
    return;
  }
}

std::optional<Gpa> DriverEvents::physical(const Registers& registers, Gva gva) const {
  const auto space = AddressSpace::of(registers);
  if (!space) return std::nullopt;
  const auto found = translate(memory_, *space, gva);
  return found ? std::optional(found->gpa) : std::nullopt;
}

Event DriverEvents::deliver() {
  const Ready one = ready_.front();
  ready_.pop_front();
  pending_ = ++tickets_;
  return std::visit(
      [&]<class E>(const E& what) -> Event {
        return Caught<E>(what, one.vcpu, one.registers, sink_, *pending_);
      },
      one.what);
}

Expected<void> DriverEvents::answer(std::uint64_t ticket, const AnyReply& reply) {
  if (pending_ != ticket) return fail(Errc::disconnected, "the event was answered before");
  if (!std::holds_alternative<Proceed>(reply))
    return fail(Errc::not_supported, "this event can only proceed");
  pending_.reset();
  if (!ready_.empty()) return {};
  attachment_.hold(false);
  if (!attachment_.session()) return fail(Errc::disconnected, "the gdb stub is gone");
  if (asked_.empty() && !run_control_.paused()) return attachment_.detach();
  return attachment_.let_run();
}

}  // namespace microvmi::qemu_driver
