// SPDX-License-Identifier: Apache-2.0
// serve: answers the connector's calls.
#pragma once

namespace microvmi::leechcore {

// Returns when the other end is gone; the exit code.
[[nodiscard]] int serve();

// Forks into the two halves that outlive the caller: one that serves, and one that tells how the
// first ended, and ends it once the program is gone. Returns in the one that serves.
void supervise();

}  // namespace microvmi::leechcore
