// SPDX-License-Identifier: Apache-2.0
// A domain that was taken down, or whose number another has by now, is gone.
#include "driver/xen/guest.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace microvmi::xen {

Errc code_of(Errno error) {
  switch (error) {
    case ESRCH:
      return Errc::disconnected;
    case EPERM:
    case EACCES:
      return Errc::permission_denied;
    case EOPNOTSUPP:
    case ENOSYS:
      return Errc::not_supported;
    case EBUSY:
      return Errc::busy;
    case EINVAL:
      return Errc::invalid_argument;
    default:
      return Errc::io;
  }
}

Expected<Domain> Guest::look() const {
  Domain now;
  const Errno error = hypervisor_->domain(domid(), now);
  const bool gone = error == ESRCH || (error == 0 && (now.dying || now.uuid != domain_.uuid));
  if (gone) return fail(Errc::disconnected, fmt::format("domain {} is gone", domid()));
  if (error == 0) return now;
  return fail(code_of(error),
              fmt::format("cannot look at domain {}: {}", domid(), std::strerror(error)));
}

std::unexpected<Error> Guest::failure(Errno error, const std::string& what, Place where) const {
  if (auto now = look(); !now) return std::unexpected(std::move(now.error()));
  // It is there: another thing was meant.
  const Errc code = error == ESRCH ? Errc::not_found : code_of(error);
  return fail(code, fmt::format("cannot {} of domain {}: {}", what, domid(), std::strerror(error)),
              where, code == Errc::permission_denied ? "run as root in the control domain" : "");
}

}  // namespace microvmi::xen
