// SPDX-License-Identifier: Apache-2.0
// soon(): waits for what another process or thread is about to do.
#pragma once

#include <chrono>
#include <thread>

#include "microvmi/wait.hpp"

namespace microvmi::test {

// False where it is not so after a time that is long enough on any machine.
template <class Condition>
bool soon(Condition condition, std::chrono::milliseconds between = std::chrono::milliseconds(2)) {
  const Wait wait = Wait::at_most(std::chrono::seconds(30));
  while (!condition()) {
    if (wait.over() != Errc::none) return false;
    std::this_thread::sleep_for(between);
  }
  return true;
}

}  // namespace microvmi::test
