// SPDX-License-Identifier: Apache-2.0
// Asking for events, taking them and answering them.
#include "driver/xen/events.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "driver/xen/state.hpp"
#include "guard/channel.hpp"

namespace microvmi::xen {
namespace {

// A domain that is taken down tells nothing through its ring.
constexpr std::chrono::milliseconds kBetweenLooks{250};

bool is_of(VcpuId asked, std::uint32_t vcpu) {
  return asked == kEveryVcpu || to_integer(asked) == vcpu;
}

const char* where_there_are(Monitor what) {
  if (what == Monitor::singlestep) return "they need an Intel processor";
  if (what == Monitor::privileged_call) return "Xen has them on Arm";
  return "see the capabilities of Xen's monitor";
}

std::unexpected<Error> lacks(const char* what, const char* hint) {
  return fail(Errc::not_supported, fmt::format("Xen on this host has no {} events", what), {},
              hint);
}

}  // namespace

std::vector<Events::Asked>::iterator Events::find(VcpuId vcpu, const Intercept& what) {
  return std::ranges::find_if(
      asked_, [&](const Asked& one) { return one.vcpu == vcpu && one.what == what; });
}

// Without a ring Xen says ENODEV where there could be rights of pages, EINVAL where not.
Expected<void> Events::check_page_access() {
  std::uint8_t access = 0;
  const Errno error = guest_.xen().frame_access(guest_.domid(), 0, access);
  if (error == EINVAL || error == EOPNOTSUPP || error == ENOSYS)
    return lacks("page_access", "it needs an Intel processor with EPT");
  return {};
}

Expected<void> Events::check(VcpuId vcpu, const Intercept& what) {
  if (!guest_.is_hvm()) return fail(Errc::not_supported, "Xen tells no events of PV guests");
  const auto now = guest_.look();
  if (!now) return std::unexpected(now.error());
  if (vcpu != kEveryVcpu && to_integer(vcpu) >= now->vcpus)
    return fail(Errc::not_found, fmt::format("there is no vcpu {}", to_integer(vcpu)), vcpu);
  if (std::holds_alternative<PageAccess::Filter>(what)) return check_page_access();
  const auto wanted = switch_for(what);
  if (!wanted) return fail(Errc::not_supported, "Xen has no such event");
  std::uint32_t bits = 0;
  if (const Errno error = guest_.xen().capabilities(guest_.domid(), bits); error != 0)
    return guest_.failure(error, "ask for the kinds of events");
  if ((bits >> static_cast<unsigned>(wanted->what) & 1) == 0)
    return lacks(name_of(wanted->what), where_there_are(wanted->what));
  return {};
}

Expected<void> Events::intercept(VcpuId vcpu, const Intercept& what) {
  if (auto done = check(vcpu, what); !done) return done;
  if (find(vcpu, what) != asked_.end()) return {};
  if (auto done = need_ring(); !done) return done;
  asked_.push_back({vcpu, what});
  auto done = apply();
  if (done) return done;
  asked_.pop_back();
  static_cast<void>(apply().has_value());
  return done;
}

Expected<void> Events::release(VcpuId vcpu, const Intercept& what) {
  const auto found = find(vcpu, what);
  if (found == asked_.end()) return fail(Errc::not_found, "this is not intercepted");
  asked_.erase(found);
  auto done = apply();
  if (auto drained = drain(); !drained && done) done = std::move(drained);
  answer_unwanted();
  return done;
}

Expected<void> Events::apply() {
  std::set<Switch> wanted;
  for (const Asked& one : asked_)
    if (const auto its = switch_for(one.what)) wanted.insert(*its);
  Expected<void> done;
  const auto set = [&](const Switch& one, bool on) {
    const Errno error = guest_.xen().monitor(guest_.domid(), one.what, one.number, on);
    if (error == 0) {
      on ? static_cast<void>(set_.insert(one)) : static_cast<void>(set_.erase(one));
      return;
    }
    const bool refused = on && (error == EINVAL || error == EOPNOTSUPP || error == ENOSYS);
    auto failed = guest_.failure(error, fmt::format("switch {} events", name_of(one.what)));
    if (refused) failed.error().code = Errc::not_supported;
    if (done) done = std::move(failed);
  };
  const std::set<Switch> before = set_;
  for (const Switch& one : before)
    if (!wanted.contains(one)) set(one, false);
  for (const Switch& one : wanted)
    if (!before.contains(one)) set(one, true);
  apply_steps();
  return done;
}

// Single steps have a switch for the domain, and one for each vCPU.
void Events::apply_steps() {
  const auto now = guest_.look();
  if (!now) return;
  for (std::uint32_t i = 0; i < now->vcpus; ++i) {
    const bool wanted = std::ranges::any_of(asked_, [i](const Asked& one) {
      return std::holds_alternative<SingleStep::Filter>(one.what) && is_of(one.vcpu, i);
    });
    if (wanted == stepping_.contains(i)) continue;
    if (guest_.xen().single_step(guest_.domid(), i, wanted) != 0) continue;
    wanted ? static_cast<void>(stepping_.insert(i)) : static_cast<void>(stepping_.erase(i));
  }
}

bool Events::is_wanted(const Message& request) const {
  return std::ranges::any_of(asked_, [&](const Asked& one) {
    return is_of(one.vcpu, request.vcpu()) && asks_for(one.what, request);
  });
}

// All of it at once: several events may have come with one notice.
Expected<void> Events::drain() {
  while (ring_) {
    const auto taken = ring_->take();
    if (!taken) return std::unexpected(taken.error());
    const std::optional<Message>& request = *taken;
    if (!request) return {};
    const Message& told = *request;
    if (told.version() != kEventVersion)
      return fail(Errc::protocol, fmt::format("Xen tells events of version {}, not {}",
                                              told.version(), kEventVersion));
    const std::uint32_t vcpu = told.vcpu();
    // Xen counts what it waits for: each request needs its answer, also where another follows it.
    if (waiting_.contains(vcpu)) dismiss(vcpu);
    waiting_[vcpu] = {.request = told, .ticket = ++ticket_};
    if (is_wanted(told))
      queue_.push_back(vcpu);
    else
      static_cast<void>(answer(vcpu, Proceed{}).has_value());
  }
  return {};
}

void Events::put(const Message& response) {
  if (!ring_) return;
  ring_->put(response);
  // Of a domain that is gone nobody waits for it.
  static_cast<void>(guest_.xen().notify());
}

Expected<void> Events::answer(std::uint32_t vcpu, const AnyReply& reply) {
  const Waiting& one = waiting_[vcpu];
  auto found = answer_to(one.request, reply, one.written);
  if (!found) return std::unexpected(std::move(found.error()));
  Expected<void> done;
  if (found->context.known().any()) done = writer_.write_context(vcpu, found->context);
  if (!done && done.error().code != Errc::disconnected) return done;
  const std::optional<Trap>& trap = found->trap;
  if (trap)
    if (const Errno error = guest_.xen().inject(guest_.domid(), *trap); error != 0)
      done = guest_.failure(error, "give the guest its exception", VcpuId{vcpu});
  const Message response = found->response;
  std::erase(queue_, vcpu);
  waiting_.erase(vcpu);
  answered_.insert(vcpu);
  put(response);
  return done;
}

void Events::answer_unwanted() {
  const std::deque<std::uint32_t> queued = queue_;
  for (const std::uint32_t vcpu : queued)
    if (!is_wanted(waiting_[vcpu].request)) static_cast<void>(answer(vcpu, Proceed{}).has_value());
}

Expected<void> Events::send(VcpuId vcpu, std::uint64_t ticket, const AnyReply& reply) {
  if (closed_) return fail(Errc::disconnected, "the vm is gone");
  const auto found = waiting_.find(to_integer(vcpu));
  if (found == waiting_.end() || !found->second.taken || found->second.ticket != ticket)
    return fail(Errc::disconnected, "the event was answered before", vcpu);
  return answer(to_integer(vcpu), reply);
}

const Registers* Events::written(std::uint32_t vcpu) const {
  const auto found = waiting_.find(vcpu);
  return found == waiting_.end() ? nullptr : &found->second.written;
}

bool Events::write(std::uint32_t vcpu, const Registers& wanted) {
  const auto found = waiting_.find(vcpu);
  if (found == waiting_.end()) return false;
  for (const RegisterInfo& info : kRegisters)
    if (const auto value = wanted[info.reg]) found->second.written.set(info.reg, *value);
  return true;
}

bool Events::all_taken(const Domain& now) const {
  const auto taken =
      std::ranges::count_if(waiting_, [](const auto& one) { return one.second.taken; });
  return taken != 0 && static_cast<std::uint32_t>(taken) >= now.online;
}

Expected<std::optional<Event>> Events::take_next() {
  if (auto done = drain(); !done) return std::unexpected(std::move(done.error()));
  while (!queue_.empty()) {
    const std::uint32_t vcpu = queue_.front();
    queue_.pop_front();
    Waiting& one = waiting_[vcpu];
    one.taken = true;
    if (auto event = public_event(one.request, weak_from_this(), one.ticket)) return event;
    static_cast<void>(answer(vcpu, Proceed{}).has_value());
  }
  const auto now = guest_.look();
  if (!now) return std::unexpected(now.error());
  if (all_taken(*now))
    return fail(Errc::busy, "every vcpu waits for the answer to an event that was taken");
  return std::nullopt;
}

Expected<Event> Events::next(const Wait& wait) {
  for (;;) {
    auto found = take_next();
    if (!found) return std::unexpected(std::move(found.error()));
    std::optional<Event>& event = *found;
    if (event) return *std::move(event);
    const Errc over = wait.over();
    if (over == Errc::cancelled) return fail(over, "waiting for an event was cancelled");
    if (over != Errc::none) return fail(over, "no event came in time");
    const std::array<int, 1> channel{guest_.xen().channel()};
    const std::span<const int> watched = std::span(channel).first(ring_ ? 1 : 0);
    if (guard::wait_readable(watched, wait.within(kBetweenLooks)))
      static_cast<void>(guest_.xen().take_notice());
  }
}

}  // namespace microvmi::xen
