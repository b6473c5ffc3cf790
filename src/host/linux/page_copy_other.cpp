// SPDX-License-Identifier: Apache-2.0
// page_copy by memcpy, for other processors.
#include <cstring>

#include "host/linux/page_copy.hpp"

namespace microvmi::host {

void page_copy(void* to, const void* from, std::size_t size) { std::memcpy(to, from, size); }

}  // namespace microvmi::host
