// SPDX-License-Identifier: Apache-2.0
// DriverRunControl: through the monitor, or through the gdb stub where that is what there is.
#pragma once

#include "driver/qemu/attachment.hpp"
#include "microvmi/control.hpp"
#include "qemu/run_control.hpp"

namespace microvmi::qemu_driver {

class DriverRunControl final : public RunControl, public guard::SelfGuarding {
 public:
  DriverRunControl(MonitorAccess& monitors, Attachment& attachment);

  [[nodiscard]] Expected<void> pause() override;
  [[nodiscard]] Expected<void> resume() override;
  // Where only the stub can tell, the guest stands still for a moment: the stub stops it.
  [[nodiscard]] Expected<bool> running() override;

  // Attached with a guard: a pause by the stub ends with this program, however it ends.
  [[nodiscard]] bool guards_itself() const override { return attachment_.is_guarded(); }

  // Whether pause() stopped the guest and no resume() followed.
  [[nodiscard]] bool paused() const { return paused_; }

  // What is attached for longer than a pause: then a resume keeps it.
  void keep_attached(bool yes) { keeps_ = yes; }

 private:
  MonitorAccess& monitors_;
  Attachment& attachment_;
  qemu::QmpRunControl monitor_;
  bool paused_ = false;
  bool keeps_ = false;
};

}  // namespace microvmi::qemu_driver
