// SPDX-License-Identifier: Apache-2.0
// Program: another program that runs beside the bench and never outlives it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace microvmi::bench {

class Program {
 public:
  // Found in PATH; its output goes nowhere, its errors to ours.
  explicit Program(const std::vector<std::string>& argv);
  Program(Program&& other) noexcept;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  Program& operator=(Program&&) = delete;
  ~Program();  // kills it

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Its exit status once it has ended; -1 where a signal ended it.
  [[nodiscard]] int wait();

 private:
  pid_t pid_;
};

[[nodiscard]] bool is_in_path(const std::string& program);

}  // namespace microvmi::bench
