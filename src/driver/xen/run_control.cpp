// SPDX-License-Identifier: Apache-2.0
// Pausing and going on.
#include "driver/xen/run_control.hpp"

namespace microvmi::xen {

Expected<void> XenRunControl::pause() {
  if (const Errno error = guest_.xen().pause(guest_.domid()); error != 0)
    return guest_.failure(error, "pause the vcpus");
  kept_.begin();
  return {};
}

Expected<void> XenRunControl::resume() {
  kept_.end();
  if (const Errno error = guest_.xen().unpause(guest_.domid()); error != 0)
    return guest_.failure(error, "resume the vcpus");
  return {};
}

Expected<bool> XenRunControl::running() {
  const auto now = guest_.look();
  if (!now) return std::unexpected(now.error());
  return !now->paused && !now->shutdown;
}

}  // namespace microvmi::xen
