// SPDX-License-Identifier: Apache-2.0
// XenRunControl: Xen counts pauses, so that ours are added to those of others and taken off again.
#pragma once

#include "driver/xen/kept_pages.hpp"
#include "microvmi/control.hpp"

namespace microvmi::xen {

class XenRunControl final : public RunControl {
 public:
  XenRunControl(const Guest& guest, KeptPages& kept) : guest_(guest), kept_(kept) {}

  Expected<void> pause() override;
  Expected<void> resume() override;
  Expected<bool> running() override;

 private:
  const Guest& guest_;
  KeptPages& kept_;
};

// Paused for as long as this lives, whatever becomes of it.
class Standstill {
 public:
  explicit Standstill(const Guest& guest) : guest_(guest) {
    error_ = guest.xen().pause(guest.domid());
  }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;
  ~Standstill() {
    if (error_ == 0) static_cast<void>(guest_.xen().unpause(guest_.domid()));
  }
  [[nodiscard]] Errno error() const { return error_; }

 private:
  const Guest& guest_;
  Errno error_;
};

}  // namespace microvmi::xen
