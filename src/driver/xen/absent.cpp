// SPDX-License-Identifier: Apache-2.0
// The row of the xen driver in a build that did not find Xen's headers.
#include "microvmi/registry.hpp"

namespace microvmi::xen {

extern const DriverInfo kDriver;
constinit const DriverInfo kDriver{
    .type = DriverType::xen,
    .summary = "Guest of Xen",
    .absent = "is not in this build, which did not find Xen's headers (libxen-dev)"};

}  // namespace microvmi::xen
