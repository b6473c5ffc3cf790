// SPDX-License-Identifier: Apache-2.0
// ReadAhead: a second thread that reads guest memory while what came before it is written.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "dump/layout.hpp"

namespace microvmi::dumper {

// At most this much is looked at, read and written at once.
inline constexpr std::size_t kChunk = 1 << 20;

struct Chunk {
  Piece piece{};
  bool untouched = false;                     // all zeros, of any size; else
  View view{};                                // the memory in place, or
  std::vector<std::byte> buffer{};            // a copy
  std::vector<Gpa> gone{};                    // pages that could not be read
  std::optional<Error> error = std::nullopt;  // why not even the next page was tried

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return view ? view.bytes() : std::span(buffer).first(piece.size);
  }
};

// Fills the buffer, page by page where it has to; ends early with `error` set.
void copy(const PhysicalMemory& memory, Chunk& chunk);

class ReadAhead {
 public:
  // Without `views` every chunk that was touched is a copy.
  ReadAhead(const PhysicalMemory& memory, std::span<const Piece> pieces, bool views)
      : memory_(memory), pieces_(pieces), views_(views) {}
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead();

  [[nodiscard]] Expected<void> start();

  // In order of address; null after the last. The one before it is the reader's again.
  [[nodiscard]] Chunk* next();

 private:
  void run();
  bool run(const Piece& piece);
  [[nodiscard]] Chunk* free_chunk();  // null when there is no more need
  void publish();

  const PhysicalMemory& memory_;
  std::span<const Piece> pieces_;
  bool views_;
  std::array<Chunk, 4> ring_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t filled_ = 0;  // chunks ever made
  std::size_t taken_ = 0;   // chunks ever handed out
  bool is_done_ = false;    // there will be no more chunks
  bool is_over_ = false;    // nobody wants more
  std::thread thread_;
};

}  // namespace microvmi::dumper
