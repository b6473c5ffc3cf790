// SPDX-License-Identifier: Apache-2.0
// Breakpoints and watchpoints as "Z" packets.
#include "driver/qemu/points.hpp"

namespace microvmi::qemu_driver {
namespace {

using Kind = qemu::GdbPoint::Kind;

// QEMU's pages are this big at least; a watchpoint is to lie in one or two of them.
constexpr std::uint32_t kLongest = 4096;

Kind kind_of(const Access& access) {
  if (access.read && access.write) return Kind::access;
  return access.read ? Kind::read : Kind::write;
}

// None is one that no watchpoint is of.
Kind kind_of(qemu::GdbStop::Watch watch) {
  switch (watch) {
    case qemu::GdbStop::Watch::write:
      return Kind::write;
    case qemu::GdbStop::Watch::read:
      return Kind::read;
    case qemu::GdbStop::Watch::access:
      return Kind::access;
    case qemu::GdbStop::Watch::none:
      break;
  }
  return Kind::software;
}

}  // namespace

std::optional<qemu::GdbPoint> point_of(const Intercept& what) {
  if (const auto* one = std::get_if<Breakpoint::Filter>(&what))
    return qemu::GdbPoint{one->kind == Breakpoint::Kind::hardware ? Kind::hardware : Kind::software,
                          to_integer(one->gva), 1};
  if (const auto* one = std::get_if<Watchpoint::Filter>(&what))
    return qemu::GdbPoint{kind_of(one->access), to_integer(one->gva), one->length};
  return std::nullopt;
}

Expected<void> check_intercept(const Intercept& what) {
  if (const auto* one = std::get_if<Watchpoint::Filter>(&what)) {
    if (one->length == 0 || one->length > kLongest)
      return fail(Errc::invalid_argument, "a watchpoint has 1 to 4096 bytes", one->gva);
    if (one->access.execute || (!one->access.read && !one->access.write))
      return fail(Errc::invalid_argument, "a watchpoint is for reads, writes or both", one->gva);
    return {};
  }
  if (std::holds_alternative<Breakpoint::Filter>(what) ||
      std::holds_alternative<SingleStep::Filter>(what))
    return {};
  return fail(Errc::not_supported,
              "a stock QEMU tells of breakpoints, watchpoints and single steps alone");
}

bool covers(const Watchpoint::Filter& filter, const qemu::GdbStop& stop) {
  const std::uint64_t start = to_integer(filter.gva);
  return kind_of(stop.watch) == kind_of(filter.access) && stop.address >= start &&
         stop.address - start < filter.length;
}

}  // namespace microvmi::qemu_driver
