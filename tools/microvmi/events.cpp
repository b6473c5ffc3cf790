// SPDX-License-Identifier: Apache-2.0
// microvmi events: breakpoints, watchpoints and steps, told as they happen.
#include <fmt/format.h>

#include "event_view.hpp"
#include "microvmi/event/text.hpp"
#include "terminal.hpp"
#include "vcpu_options.hpp"
#include "waiting.hpp"

namespace microvmi::tool {
namespace {

struct EventsArgs {
  std::vector<std::string> breakpoints;
  std::vector<std::string> watchpoints;
  std::optional<std::string> vcpu;
  std::optional<std::string> count;
  std::optional<std::string> time;
  bool step = false;
  bool hardware = false;
  bool json = false;
};

struct EventsPlan {
  std::vector<Intercept> intercepts;
  VcpuId vcpu = kEveryVcpu;
  std::optional<std::uint64_t> count;
  Wait wait;
};

EventsPlan events_plan_of(Session& session, const EventsArgs& options) {
  EventsPlan plan;
  using Kind = Breakpoint::Kind;
  for (const std::string& text : options.breakpoints)
    plan.intercepts.emplace_back(
        Breakpoint::Filter{.gva = Gva{session.number("--breakpoint", text)},
                           .kind = options.hardware ? Kind::hardware : Kind::software});
  for (const std::string& text : options.watchpoints) {
    auto watch = parse_intercept("watchpoint:" + text);
    if (!watch)
      session.wrong(
          fmt::format("--watch expects GVA[:LEN][:r|w|rw], with a length from 1 to 1M and "
                      "no byte past the last address, not '{}'",
                      text));
    else
      plan.intercepts.push_back(*std::move(watch));
  }
  if (options.step) plan.intercepts.emplace_back(SingleStep::Filter{});
  if (plan.intercepts.empty() && options.watchpoints.empty())
    session.wrong("what to wait for is required: --breakpoint GVA, --watch GVA or --step");
  if (options.hardware && options.breakpoints.empty())
    session.wrong("--hardware needs --breakpoint");
  const auto vcpu = vcpu_of(session, options.vcpu);
  // Every vCPU in single steps is rarely meant, and slow.
  plan.vcpu = vcpu.value_or(options.step ? VcpuId{0} : kEveryVcpu);
  if (options.count) plan.count = session.number("--count", options.count);
  plan.wait.stop = session.stop();
  return plan;
}

// Answers first, so that a slow reader of stdout does not hold the guest.
Outcome tell(Session& session, const Vm& vm, Event event, bool json) {
  const EventLine line = line_of(vm, event);
  const auto answered = std::visit([](auto& one) { return one.reply(Proceed{}); }, event);
  if (auto told = session.out().write(json ? json_line(line) : text_line(line)); !told) return told;
  if (auto flushed = session.out().flush(); !flushed) return flushed;
  return answered ? Outcome{} : failed(answered.error());
}

Outcome over(Errc why, const EventsPlan& plan, std::uint64_t told) {
  const std::string so_far = fmt::format("{} event{} came", told, told == 1 ? "" : "s");
  if (!plan.count) return {};  // to be ended is how it ends
  return failed(fmt::format("{}: {} of {}", why == Errc::cancelled ? "interrupted" : "timed_out",
                            so_far, *plan.count));
}

Outcome listen(Session& session, Vm& vm, const EventsPlan& plan, bool json) {
  for (std::uint64_t told = 0; told != plan.count.value_or(UINT64_MAX); ++told) {
    auto event = vm.next_event(plan.wait);
    if (!event) {
      const Errc code = event.error().code;
      if (code == Errc::cancelled || code == Errc::timed_out) return over(code, plan, told);
      return failed(event.error());
    }
    if (auto done = tell(session, vm, *std::move(event), json); !done) return done;
  }
  return {};
}

// What could not be undone is told beside what came of the rest.
Outcome release(Vm& vm, const EventsPlan& plan, std::size_t set, Outcome result) {
  for (std::size_t i = 0; i < set; ++i) {
    const auto released = vm.release(plan.vcpu, plan.intercepts[i]);
    if (released || released.error().code == Errc::disconnected) continue;
    const std::string text =
        "cannot take back what was set: " + microvmi::to_text(released.error());
    return failed(result ? text : result.error().text + '\n' + text);
  }
  return result;
}

Outcome run_events(Session& session, const EventsArgs& options) {
  EventsPlan plan = events_plan_of(session, options);
  const auto time =
      options.time ? std::optional(seconds_of(session, "--timeout", *options.time)) : std::nullopt;
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  if (time) plan.wait = plan.wait.within(*time);
  std::size_t set = 0;
  Outcome result;
  for (; result && set < plan.intercepts.size(); ++set)
    if (auto done = vm->intercept(plan.vcpu, plan.intercepts[set]); !done) {
      result = failed(done.error());
      break;
    }
  if (result) result = listen(session, *vm, plan, options.json);
  return release(*vm, plan, set, std::move(result));
}

Run declare_events(CLI::App& app) {
  auto options = std::make_shared<EventsArgs>();
  add_texts(app, "--breakpoint", options->breakpoints,
            "Before the instruction at this virtual address; may be repeated", "GVA");
  add_flag(app, "--hardware", options->hardware, "Breakpoints in debug registers, not in memory");
  add_texts(app, "--watch", options->watchpoints,
            "After an access to these bytes, by default one byte written; may be repeated",
            "GVA[:LEN][:r|w|rw]");
  add_flag(app, "--step", options->step, "After every instruction of vCPU N, else of vCPU 0");
  add_text(app, "--vcpu", options->vcpu, "Of this vCPU alone", "N");
  add_text(app, "--count", options->count, "End after this many events; fewer are a failure", "N");
  add_text(app, "--timeout", options->time, "End after this time", "SECONDS");
  add_flag(app, "--json", options->json,
           "One object {vcpu, kind, gva, gpa, registers} for each event, each on a line");
  return [options](Session& session) { return run_events(session, *options); };
}

}  // namespace

const Command kEvents{.name = "events",
                      .summary = "Tell when a guest reaches or touches an address, or each step",
                      .takes_target = true,
                      .declare = declare_events};

}  // namespace microvmi::tool
