// SPDX-License-Identifier: Apache-2.0
// Reservation: takes pages from a guest and gives them back, as its balloon would, through Xen's
// own library. Its C functions are those of xenctrl.h.
#pragma once

#include <cstdint>
#include <memory>

#include "support/qmp_truth.hpp"

namespace microvmi::test::xen {

class Reservation {
 public:
  [[nodiscard]] static Outcome<Reservation> open(std::uint16_t domid);

  // Pages from this frame on; false where Xen did not do all of it.
  [[nodiscard]] bool take(std::uint64_t first, std::uint64_t count) const;
  [[nodiscard]] bool give(std::uint64_t first, std::uint64_t count) const;

 private:
  struct Library;
  using Handle = std::unique_ptr<void, int (*)(void*)>;

  Reservation(const Library* library, Handle handle, std::uint16_t domid)
      : library_(library), handle_(std::move(handle)), domid_(domid) {}

  static const Library* library();

  const Library* library_;
  Handle handle_;
  std::uint16_t domid_;
};

}  // namespace microvmi::test::xen
