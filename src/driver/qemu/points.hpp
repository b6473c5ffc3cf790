// SPDX-License-Identifier: Apache-2.0
// What an interception is for the gdb stub.
#pragma once

#include <optional>

#include "microvmi/event.hpp"
#include "qemu/gdb_session.hpp"

namespace microvmi::qemu_driver {

// Null for what needs none, such as single steps.
[[nodiscard]] std::optional<qemu::GdbPoint> point_of(const Intercept& what);

[[nodiscard]] inline bool is_watch(const qemu::GdbPoint& point) {
  return point.kind > qemu::GdbPoint::Kind::hardware;
}

// Errc::not_supported for events that the stub does not have, invalid_argument for such as are
// none.
[[nodiscard]] Expected<void> check_intercept(const Intercept& what);

// Whether this is what the stop was for: QEMU names the watchpoint by its kind and start.
[[nodiscard]] bool covers(const Watchpoint::Filter& filter, const qemu::GdbStop& stop);

}  // namespace microvmi::qemu_driver
