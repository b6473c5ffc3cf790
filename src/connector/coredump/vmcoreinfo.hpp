// SPDX-License-Identifier: Apache-2.0
// VMCOREINFO: what a Linux kernel says of itself, as lines of KEY=VALUE
// (Documentation/admin-guide/kdump/vmcoreinfo.rst).
#pragma once

#include <string_view>

#include "microvmi/driver.hpp"

namespace microvmi::coredump_connector {

void add_vmcoreinfo(GuestInfo& info, std::string_view text);

}  // namespace microvmi::coredump_connector
