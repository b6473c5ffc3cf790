// SPDX-License-Identifier: Apache-2.0
// Finding or starting the stub, and leaving the guest as it was found.
#include "driver/qemu/attachment.hpp"

#include <fmt/format.h>

#include <utility>

#include "qemu/monitors.hpp"
#include "qemu/query.hpp"

namespace microvmi::qemu_driver {
namespace {

// The id that QEMU gives the character device of its gdb stub (gdbserver_start in gdbstub.c).
constexpr std::string_view kStubLabel = "gdb";
constexpr std::string_view kIdle = "disconnected:";

std::string text_in(const nlohmann::json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? found->get<std::string>()
             : std::string();
}

}  // namespace

Attachment::Attachment(qemu::QemuProcess process, MonitorAccess& monitors,
                       AttachmentOptions options)
    : process_(std::move(process)), monitors_(monitors), options_(std::move(options)) {}

Attachment::~Attachment() { static_cast<void>(detach().has_value()); }

// One that somebody started through the monitor is in no command line.
Expected<std::optional<qemu::Monitor>> Attachment::running_stub() {
  const auto devices = monitors_.ask({.name = "query-chardev"});
  if (!devices) return std::unexpected(devices.error());
  if (!devices->is_array()) return fail(Errc::protocol, "query-chardev: its list is missing");
  for (const nlohmann::json& one : *devices) {
    if (text_in(one, "label") != kStubLabel) continue;
    const std::string written = text_in(one, "filename");
    const auto endpoint = qemu::endpoint_of(written, process_.pid);
    if (!written.starts_with(kIdle) || !endpoint)
      return fail(Errc::busy, fmt::format("a debugger uses QEMU's gdb stub at {:?}", written), {},
                  "end it, for a stub serves one debugger at a time");
    return qemu::Monitor{*endpoint, process_.pid};
  }
  return std::nullopt;
}

Expected<qemu::Monitor> Attachment::find_stub() {
  if (options_.stub) return *options_.stub;
  auto running = running_stub();
  if (!running) return std::unexpected(std::move(running.error()));
  if (std::optional<qemu::Monitor>& found = *running) return *std::move(found);
  auto own = qemu::plan_stub(process_.pid);
  if (!own) return std::unexpected(std::move(own.error()));
  own_ = *std::move(own);
  return own_->stub;
}

Expected<qemu::GdbSession*> Attachment::attach() {
  if (session_) return &*session_;
  const auto stub = find_stub();
  if (!stub) return std::unexpected(stub.error());
  const auto failed = [this](Error error) {
    static_cast<void>(end_own_stub().has_value());
    keeper_.reset();
    return std::unexpected(std::move(error));
  };
  if (auto done = prepare(*stub); !done) return failed(std::move(done.error()));
  auto session = qemu::GdbSession::attach(*stub, options_.each);
  if (!session) {
    if (session.error().may_have_stopped) leave_to_guard();
    return failed(std::move(session.error().error));
  }
  session_.emplace(*std::move(session));
  should_run_ = session_->found_running();
  if (keeper_)
    if (auto done = keeper_->change(plan(*stub, should_run_)); !done) {
      static_cast<void>(detach().has_value());
      return std::unexpected(std::move(done.error()));
    }
  return &*session_;
}

qemu::StubPlan Attachment::plan(const qemu::Monitor& stub, bool runs) const {
  return {.stub = stub,
          .start_time = process_.start_time,
          .runs = runs,
          .folder = own_ ? own_->folder : std::string(),
          .monitors = qemu::monitors_of(process_)};
}

// Guarded first: a stub that is started is ended by the guard if this program is killed at once.
Expected<void> Attachment::prepare(const qemu::Monitor& stub) {
  auto done = guard(stub);
  if (!done) own_.reset();  // there is none to be ended
  if (!own_) return done;
  done = qemu::start_stub(*own_, [this](std::string_view line) { return monitors_.human(line); });
  if (done) return done;
  if (done.error().code == Errc::timed_out)
    leave_to_guard();  // QEMU may still start it
  else
    own_.reset();
  return done;
}

// Before the connection, which stops the guest.
Expected<void> Attachment::guard(const qemu::Monitor& stub) {
  if (!options_.guard) return {};
  bool runs = true;
  if (const auto answer = monitors_.ask({.name = "query-status"}))
    if (const auto status = qemu::parse_status(*answer)) runs = status->running;
  auto keeper = guard::Keeper::start(*options_.guard, plan(stub, runs));
  if (!keeper) return std::unexpected(std::move(keeper.error()));
  keeper_ = *std::move(keeper);
  return {};
}

Expected<void> Attachment::end_own_stub() {
  if (!own_) return {};
  auto ended =
      qemu::end_stub(*own_, [this](std::string_view line) { return monitors_.human(line); });
  if (!ended) leave_to_guard();
  own_.reset();
  return ended;
}

Expected<void> Attachment::let_run() {
  if (!session_ || session_->is_running() || !should_run_ || held_ || !early_.empty()) return {};
  return run_ ? run_(*session_) : session_->run();
}

Expected<void> Attachment::halt() {
  if (!session_) return {};
  auto stop = session_->halt();
  if (!stop) return std::unexpected(std::move(stop.error()));
  if (const std::optional<qemu::GdbStop>& trap = *stop) early_.push_back(*trap);
  return {};
}

// Another client may have let it run since it was stopped.
void Attachment::look_again() {
  if (!session_ || should_run_ || !monitors_.any() || !session_->is_running()) return;
  const auto answer = monitors_.ask({.name = "query-status"});
  if (!answer) return;
  if (const auto status = qemu::parse_status(*answer)) should_run_ = status->running;
}

// A QEMU that does not answer now may do so later; the guard tries longer than we do.
void Attachment::leave_to_guard() {
  if (!keeper_) return;
  own_.reset();
  keeper_->leave();
}

Expected<void> Attachment::detach() {
  if (!session_) return {};
  look_again();
  auto result = halt();
  if (result) result = session_->detach(should_run_, points_);
  session_.reset();
  early_.clear();
  points_.clear();
  held_ = false;
  if (!result) leave_to_guard();
  if (auto ended = end_own_stub(); !ended && result) result = std::move(ended);
  keeper_.reset();
  return result;
}

}  // namespace microvmi::qemu_driver
