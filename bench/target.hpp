// SPDX-License-Identifier: Apache-2.0
// Target: a child process with 1 GiB of memory, opened as guest memory, and what to compare with.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/linux/process_memory.hpp"

namespace microvmi::bench {

inline constexpr std::uint64_t kTargetSize = std::uint64_t{1} << 30;

enum class Backing : std::uint8_t { shared, anonymous };

class Target {
 public:
  explicit Target(Backing backing);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target();

  [[nodiscard]] host::ProcessMemory& memory() const { return *memory_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t hva() const { return hva_; }
  [[nodiscard]] int mem_fd() const { return memory_->process().memory(); }

  // Our mapping of the shared memory, every page touched.
  [[nodiscard]] const std::byte* mapping() const { return view_.bytes().data(); }

 private:
  pid_t pid_ = -1;
  std::uint64_t hva_ = 0;
  std::unique_ptr<host::ProcessMemory> memory_;
  View view_;
};

// One for the whole program; it starts when it is first asked for.
[[nodiscard]] const Target& target(Backing backing);

// Places in the target's memory for each turn: one after the other, or in an order of its own.
class Places {
 public:
  Places(std::size_t size, std::size_t count, bool random);

  // `count` offsets, others each turn.
  [[nodiscard]] const std::uint64_t* of(std::size_t turn) const {
    return offsets_.data() + turn * count_ % (offsets_.size() - count_ + 1);
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::size_t count_;
  std::vector<std::uint64_t> offsets_;
};

}  // namespace microvmi::bench
