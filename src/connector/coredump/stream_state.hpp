// SPDX-License-Identifier: Apache-2.0
// The state of the vCPUs in a migration stream, by the description that QEMU puts at its end.
#pragma once

#include <vector>

#include "connector/coredump/format.hpp"
#include "connector/coredump/stream_ram.hpp"

namespace microvmi::coredump_connector {

struct StreamState {
  std::uint32_t vcpus = 0;             // 0 where the stream has no description
  std::vector<Registers> registers{};  // by vCPU; of x86 alone
};

[[nodiscard]] StreamState read_stream_state(const Source& source, const StreamRam& ram);

}  // namespace microvmi::coredump_connector
