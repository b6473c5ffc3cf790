// SPDX-License-Identifier: Apache-2.0
// Finding or starting the stub, and leaving the guest as it was found.
#include "driver/qemu/attachment.hpp"

#include <fmt/format.h>

#include <utility>

#include "qemu/monitors.hpp"

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
  if (*running) return **std::move(running);
  auto own = qemu::start_stub(process_.pid,
                              [this](std::string_view line) { return monitors_.human(line); });
  if (!own) return std::unexpected(std::move(own.error()));
  own_ = *std::move(own);
  return own_->stub;
}

Expected<qemu::GdbSession*> Attachment::attach() {
  if (session_) return &*session_;
  const auto stub = find_stub();
  if (!stub) return std::unexpected(stub.error());
  auto session = qemu::GdbSession::attach(*stub, options_.each);
  if (!session) {
    static_cast<void>(end_own_stub().has_value());
    return std::unexpected(std::move(session.error()));
  }
  session_.emplace(*std::move(session));
  should_run_ = session_->found_running();
  return &*session_;
}

Expected<void> Attachment::end_own_stub() {
  if (!own_) return {};
  auto ended =
      qemu::end_stub(*own_, [this](std::string_view line) { return monitors_.human(line); });
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
  if (*stop) early_.push_back(**stop);
  return {};
}

Expected<void> Attachment::detach() {
  if (!session_) return {};
  auto result = halt();
  if (result) result = session_->detach(should_run_, points_);
  session_.reset();
  early_.clear();
  points_.clear();
  held_ = false;
  if (auto ended = end_own_stub(); !ended && result) result = std::move(ended);
  return result;
}

}  // namespace microvmi::qemu_driver
