// SPDX-License-Identifier: Apache-2.0
// Target: a child process with memory of a known pattern, which answers for what it has there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

namespace microvmi::test {

enum class Backing : std::uint8_t { anonymous, memfd_shared, file_shared, file_private };

inline constexpr std::uint64_t kHigh = 1ULL << 32;  // above what 32 bits reach

// Runs in the child: maps memory of `size` bytes and fills it with word_at().
std::uint64_t map_memory(Backing backing, std::uint64_t size);

// The word that stands `offset` bytes into such memory.
constexpr std::uint64_t word_at(std::uint64_t offset) {
  return (offset << 8) ^ 0x5AA5'0000'00C3ULL;
}

class Target {
 public:
  // `setup` runs in the child and gives the address that address() tells.
  explicit Target(const std::function<std::uint64_t()>& setup);
  Target(Backing backing, std::uint64_t size);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target();

  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  [[nodiscard]] std::uint64_t address() const { return address_; }

  // What the child itself reads at that address of its own.
  [[nodiscard]] std::uint64_t word(std::uint64_t address) const;
  void unmap(std::uint64_t address, std::uint64_t size) const;
  void protect_none(std::uint64_t address, std::uint64_t size) const;
  // Another mapping of its own, the pattern in it; tells where.
  [[nodiscard]] std::uint64_t map_more(Backing backing, std::uint64_t size) const;
  void run_threads(int count) const;  // one after the other
  // Its first thread ends, and another one serves.
  void leave_to_another_thread() const;

  // Kills it and waits for its end.
  void kill();

 private:
  enum class Verb : std::uint8_t { word, unmap, protect, map, threads, leave };
  struct Command {
    Verb verb;
    Backing backing;
    std::uint64_t address;
    std::uint64_t size;
  };

  [[noreturn]] static void serve(int socket, const std::function<std::uint64_t()>& setup);
  [[noreturn]] static void answer_questions(int socket, std::uint64_t answer);
  static std::uint64_t obey(const Command& command, int socket);
  [[nodiscard]] std::uint64_t ask(const Command& command) const;

  pid_t pid_ = -1;
  int socket_ = -1;
  std::uint64_t address_ = 0;
};

}  // namespace microvmi::test
