// SPDX-License-Identifier: Apache-2.0
// What an interception is for the gdb stub.
#pragma once

#include <optional>

#include "microvmi/event.hpp"
#include "qemu/gdb_session.hpp"

namespace microvmi::qemu_driver {

// Null for what needs none, such as single steps.
[[nodiscard]] std::optional<qemu::GdbPoint> point_of(const Intercept& what);

// Errc::not_supported for events that the stub does not have, invalid_argument for such as are
// none.
[[nodiscard]] Expected<void> check_intercept(const Intercept& what);

// Whether the address is one of those that are watched.
[[nodiscard]] bool covers(const Watchpoint::Filter& filter, std::uint64_t gva);

}  // namespace microvmi::qemu_driver
