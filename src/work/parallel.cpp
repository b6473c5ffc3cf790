// SPDX-License-Identifier: Apache-2.0
// Threads for one call: they cost some 20 us each, far less than the work they are started for.
#include "work/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace microvmi::work {

unsigned cores() {
  constexpr unsigned kMost = 16;
  return std::clamp(std::thread::hardware_concurrency(), 1U, kMost);
}

void in_parallel(std::size_t count, const std::function<void(std::size_t)>& task) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) task(i);
  };
  std::vector<std::jthread> others;
  const std::size_t wanted = std::min<std::size_t>(cores(), count);
  try {
    while (others.size() + 1 < wanted) others.emplace_back(work);
  } catch (const std::system_error&) {  // as many as the system gives
  }
  work();
}

}  // namespace microvmi::work
