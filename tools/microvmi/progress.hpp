// SPDX-License-Identifier: Apache-2.0
// Progress: one line on a terminal that tells how far a dump is, how fast, and how long it takes.
#pragma once

#include <chrono>
#include <string>

#include "microvmi/dump.hpp"

namespace microvmi::tool {

// "  43%  220.0 MiB of 512.0 MiB  1.2 GiB/s  0:03 left  at 0xdc00000"
[[nodiscard]] std::string progress_line(const DumpProgress& progress,
                                        std::chrono::duration<double> elapsed);

class Progress {
 public:
  // Shows nothing where stderr is no terminal.
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  // leaves the line empty

  void show(const DumpProgress& progress);

 private:
  bool on_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace microvmi::tool
