// SPDX-License-Identifier: Apache-2.0
// in_parallel: one task for each number, on several cores.
#pragma once

#include <cstddef>
#include <functional>

namespace microvmi::work {

// As many threads as there are cores to run on, the caller's own among them; 16 at most, as what
// they do is bound by memory beyond that.
[[nodiscard]] unsigned cores();

// Calls task(i) for each i below `count`, in any order and from several threads at once, and comes
// back when all are done. The threads live no longer than the call; where none can be started the
// caller does all. The task must not throw.
void in_parallel(std::size_t count, const std::function<void(std::size_t)>& task);

}  // namespace microvmi::work
