// SPDX-License-Identifier: Apache-2.0
// microvmi pause and microvmi resume: stop a guest, for good or for a time, and let it run.
#include <fmt/format.h>

#include "command.hpp"
#include "json.hpp"
#include "waiting.hpp"

namespace microvmi::tool {
namespace {

struct PauseArgs {
  std::optional<std::string> time;
  bool json = false;
};

struct States {
  bool before;
  bool after;
};

Outcome report(Session& session, const PauseArgs& options, States states, const std::string& text) {
  if (options.json)
    return session.out().write(
        to_text(Json{{"was_running", states.before}, {"running", states.after}}));
  return session.out().write(text + '\n');
}

// A guard holds this one: the guest runs again however this program ends.
Outcome pause_for(Session& session, Vm& vm, const PauseArgs& options,
                  std::chrono::milliseconds time) {
  const auto before = vm.running();
  if (!before) return failed(before.error());
  if (auto paused = vm.pause(); !paused) return failed(paused.error());
  const bool whole = sleep_until(Wait{.stop = session.stop()}.within(time));
  if (auto resumed = vm.resume(); !resumed)
    return failed("the guest may still be paused: " + microvmi::to_text(resumed.error()));
  if (!whole) return failed("interrupted; the guest is as it was before");
  const std::string text =
      fmt::format("the guest was paused for {:g} s", std::chrono::duration<double>(time).count());
  return report(session, options, {*before, *before},
                *before ? text : text + "; it was paused before, and still is");
}

// Through the driver itself, as a Vm would resume what it paused.
Outcome pause_for_good(Session& session, Vm& vm, const PauseArgs& options) {
  const auto before = vm.running();
  if (!before) return failed(before.error());
  if (!*before) return report(session, options, {false, false}, "the guest was paused already");
  RunControl& control = *vm.driver().run_control();
  if (!control.stays_paused())
    return failed(
        fmt::format("not_supported: driver {} lets the guest run when it is closed "
                    "(--for SECONDS pauses it for a time)",
                    name_of(vm.driver_type())));
  if (auto paused = control.pause(); !paused) return failed(paused.error());
  return report(session, options, {true, false},
                "the guest is paused; microvmi resume lets it run again");
}

Outcome run_pause(Session& session, const PauseArgs& options) {
  const auto time =
      options.time ? std::optional(seconds_of(session, "--for", *options.time)) : std::nullopt;
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  return time ? pause_for(session, *vm, options, *time) : pause_for_good(session, *vm, options);
}

Outcome run_resume(Session& session, const PauseArgs& options) {
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  const auto before = vm->running();
  if (!before) return failed(before.error());
  if (*before) return report(session, options, {true, true}, "the guest runs already");
  if (auto resumed = vm->driver().run_control()->resume(); !resumed) return failed(resumed.error());
  return report(session, options, {false, true}, "the guest runs");
}

Run declare_pause(CLI::App& app) {
  auto options = std::make_shared<PauseArgs>();
  add_text(app, "--for", options->time,
           "Let it run again after this time, and also when this program is killed", "SECONDS");
  add_flag(app, "--json", options->json, "One object {was_running, running}");
  return [options](Session& session) { return run_pause(session, *options); };
}

Run declare_resume(CLI::App& app) {
  auto options = std::make_shared<PauseArgs>();
  add_flag(app, "--json", options->json, "One object {was_running, running}");
  return [options](Session& session) { return run_resume(session, *options); };
}

}  // namespace

const Command kPause{.name = "pause",
                     .summary = "Pause a guest, until it is resumed or for a time",
                     .takes_target = true,
                     .declare = declare_pause};

const Command kResume{.name = "resume",
                      .summary = "Let a paused guest run, whoever paused it",
                      .takes_target = true,
                      .declare = declare_resume};

}  // namespace microvmi::tool
