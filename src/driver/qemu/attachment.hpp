// SPDX-License-Identifier: Apache-2.0
// Attachment: the one connection to the gdb stub, shared by run control, registers and events.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "driver/qemu/monitor_access.hpp"
#include "guard/keeper.hpp"
#include "microvmi/registry.hpp"
#include "qemu/find.hpp"
#include "qemu/gdb_session.hpp"
#include "qemu/own_stub.hpp"

namespace microvmi::qemu_driver {

struct AttachmentOptions {
  std::optional<qemu::Monitor> stub = std::nullopt;  // given, or of the command line
  std::chrono::milliseconds each{5'000};             // for one answer
  std::optional<GuardOptions> guard = std::nullopt;
};

// Threads: one at a time.
class Attachment {
 public:
  Attachment(qemu::QemuProcess process, MonitorAccess& monitors, AttachmentOptions options);
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment();

  // Whether there is a stub that need not be started.
  [[nodiscard]] bool has_stub() const { return options_.stub.has_value(); }

  // Whether the guest is set right too when this program is killed.
  [[nodiscard]] bool is_guarded() const { return keeper_ != nullptr; }

  // Null unless attached.
  [[nodiscard]] qemu::GdbSession* session() { return session_ ? &*session_ : nullptr; }

  // Attaches unless that is done: a stub is started where none is known. The guest stands still if
  // it was not attached before.
  [[nodiscard]] Expected<qemu::GdbSession*> attach();

  // Whether the guest is to run when nothing holds it. As it was found, until somebody says else.
  [[nodiscard]] bool should_run() const { return should_run_; }
  void should_run(bool yes) { should_run_ = yes; }

  // While it is so, the guest stands still for an event that waits for its answer.
  void hold(bool yes) { held_ = yes; }

  // Lets the guest run if it should and nothing holds it.
  [[nodiscard]] Expected<void> let_run();
  // Stops it for a moment; a breakpoint that was hit meanwhile is kept in early().
  [[nodiscard]] Expected<void> halt();
  [[nodiscard]] std::deque<qemu::GdbStop>& early() { return early_; }

  // What let_run() does: by default everything runs.
  void run_by(std::function<Expected<void>(qemu::GdbSession&)> run) { run_ = std::move(run); }

  // Whether registers were written since this was asked last.
  void note_written() { written_ = true; }
  [[nodiscard]] bool take_written() { return std::exchange(written_, false); }

  // Points that are set, so that they can be taken out where a detach would let the guest run.
  [[nodiscard]] std::vector<qemu::GdbPoint>& points() { return points_; }

  // The guest is left as it should be, and a stub that was started ends.
  [[nodiscard]] Expected<void> detach();

 private:
  [[nodiscard]] Expected<qemu::Monitor> find_stub();
  [[nodiscard]] Expected<std::optional<qemu::Monitor>> running_stub();
  [[nodiscard]] Expected<void> end_own_stub();
  void look_again();
  void leave_to_guard();
  [[nodiscard]] qemu::StubPlan plan(const qemu::Monitor& stub, bool runs) const;
  [[nodiscard]] Expected<void> prepare(const qemu::Monitor& stub);
  [[nodiscard]] Expected<void> guard(const qemu::Monitor& stub);

  qemu::QemuProcess process_;
  MonitorAccess& monitors_;
  AttachmentOptions options_;
  std::optional<qemu::OwnStub> own_;
  std::unique_ptr<guard::Keeper> keeper_;
  std::optional<qemu::GdbSession> session_;
  std::function<Expected<void>(qemu::GdbSession&)> run_;
  std::deque<qemu::GdbStop> early_;
  std::vector<qemu::GdbPoint> points_;
  bool should_run_ = false;
  bool held_ = false;
  bool written_ = false;
};

}  // namespace microvmi::qemu_driver
