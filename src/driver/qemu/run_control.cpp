// SPDX-License-Identifier: Apache-2.0
// Who pauses, and what a guest that is attached to is told.
#include "driver/qemu/run_control.hpp"

namespace microvmi::qemu_driver {

DriverRunControl::DriverRunControl(MonitorAccess& monitors, Attachment& attachment)
    : monitors_(monitors),
      attachment_(attachment),
      monitor_([this](const qemu::Command& command) { return monitors_.ask(command); }) {}

// A guest that stands still for an event, or that is looked at, still runs.
Expected<bool> DriverRunControl::running() {
  if (attachment_.session()) return attachment_.should_run();
  auto running = monitor_.running();
  if (running || !attachment_.has_stub() || !is_out_of_reach(running.error())) return running;
  if (auto attached = attachment_.attach(); !attached)
    return std::unexpected(std::move(attached.error()));
  const bool ran = attachment_.should_run();
  if (auto done = attachment_.detach(); !done) return std::unexpected(std::move(done.error()));
  return ran;
}

Expected<void> DriverRunControl::pause() {
  if (!attachment_.session()) {
    auto done = monitor_.pause();
    paused_ = done.has_value();
    if (done || !attachment_.has_stub() || !is_out_of_reach(done.error())) return done;
    if (auto attached = attachment_.attach(); !attached)
      return std::unexpected(std::move(attached.error()));
  }
  if (auto done = attachment_.halt(); !done) return done;
  attachment_.should_run(false);
  paused_ = true;
  return {};
}

Expected<void> DriverRunControl::resume() {
  if (!attachment_.session()) {
    auto done = monitor_.resume();
    if (done) paused_ = false;
    if (done || done.error().code != Errc::busy) return done;
    // Perhaps for a debugger that died; of one that lives the stub is taken.
    if (auto attached = attachment_.attach(); !attached) return done;
  }
  attachment_.should_run(true);
  auto done = keeps_ ? attachment_.let_run() : attachment_.detach();
  if (done) paused_ = false;
  return done;
}

}  // namespace microvmi::qemu_driver
