// SPDX-License-Identifier: Apache-2.0
// A ring of chunks between the thread that reads and the one that writes.
#include "dump/read_ahead.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "dump/native.hpp"

namespace microvmi::dumper {
namespace {

Error not_read(const ReadRequest& request) {
  const std::uint64_t at = to_integer(request.failed_at);
  const bool is_lost = request.status == Errc::disconnected;
  return {.code = request.status,
          .message = is_lost
                         ? fmt::format("the guest went away before memory at {:#x} was read", at)
                         : fmt::format("cannot read guest memory at {:#x}: {}", at,
                                       name_of(request.status)),
          .where = request.failed_at};
}

// Pages from `start` on, each on its own.
void copy_pages(const PhysicalMemory& memory, Chunk& chunk, std::uint64_t start) {
  const std::span<std::byte> rest = std::span(chunk.buffer).first(chunk.piece.size).subspan(start);
  std::vector<ReadRequest> batch;
  for (std::uint64_t done = 0; done < rest.size(); done += kPageSize)
    batch.push_back({.gpa = chunk.piece.gpa + start + done,
                     .into = rest.subspan(done, std::min(rest.size() - done, kPageSize))});
  memory.read(batch);
  for (const ReadRequest& page : batch) {
    if (page.status == Errc::none) continue;
    if (page.status != Errc::hole) {
      chunk.error = not_read(page);
      chunk.piece.size = page.gpa - chunk.piece.gpa;
      return;
    }
    chunk.gone.push_back(page.gpa);
    std::ranges::fill(page.into, std::byte{});  // not what the buffer held before
  }
}

// Whole pages that nobody has touched, or else what is to be read next.
Touched next_run(const PhysicalMemory& memory, Gpa gpa, std::uint64_t size) {
  Touched next = memory.touched(gpa, size);
  if (next.skip + next.size > size || next.skip + next.size == 0) return {0, size};
  next.skip -= next.skip % kPageSize;
  return next.skip != 0 ? Touched{next.skip, 0} : Touched{0, next.size};
}

}  // namespace

void copy(const PhysicalMemory& memory, Chunk& chunk) {
  chunk.view = {};
  chunk.gone.clear();
  chunk.error.reset();
  chunk.buffer.resize(kChunk);
  std::array whole{
      ReadRequest{.gpa = chunk.piece.gpa, .into = std::span(chunk.buffer).first(chunk.piece.size)}};
  memory.read(whole);
  if (whole[0].status == Errc::none) return;
  copy_pages(memory, chunk, whole[0].done / kPageSize * kPageSize);
}

Expected<void> ReadAhead::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return fail(Errc::io, std::string("cannot start the thread that reads: ") + error.what());
  }
  return {};
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// False where nobody wants more.
bool ReadAhead::run(const Piece& piece) {
  std::uint64_t done = 0;
  std::uint64_t touched = 0;  // up to there
  while (done < piece.size) {
    Chunk* chunk = free_chunk();
    if (!chunk) return false;
    // Asked once for a run: the kernel looks at every page of it for the answer.
    const Touched next = done < touched ? Touched{0, touched - done}
                                        : next_run(memory_, piece.gpa + done, piece.size - done);
    touched = done + next.size;
    const std::uint64_t size = next.skip != 0 ? next.skip : std::min(next.size, kChunk);
    chunk->piece = {piece.gpa + done, size, piece.offset + done, piece.kind};
    chunk->gone.clear();
    chunk->error.reset();
    chunk->untouched = next.skip != 0;
    const bool may_be_view = views_ && !chunk->untouched;
    chunk->view = may_be_view ? memory_.view(chunk->piece.gpa, size) : View();
    if (chunk->view)
      bring_in(chunk->view.bytes());
    else if (!chunk->untouched)
      copy(memory_, *chunk);
    publish();
    done += size;
  }
  return true;
}

void ReadAhead::run() {
  for (const Piece& piece : pieces_)
    if (!run(piece)) return;
  const std::lock_guard lock(mutex_);
  is_done_ = true;
  changed_.notify_all();
}

Chunk* ReadAhead::free_chunk() {
  std::unique_lock lock(mutex_);
  // The chunk that was handed out last is still in use.
  changed_.wait(lock, [this] { return is_over_ || filled_ - taken_ + 1 < ring_.size(); });
  return is_over_ ? nullptr : &ring_[filled_ % ring_.size()];
}

void ReadAhead::publish() {
  {
    const std::lock_guard lock(mutex_);
    ++filled_;
  }
  changed_.notify_all();
}

Chunk* ReadAhead::next() {
  std::unique_lock lock(mutex_);
  changed_.notify_all();
  changed_.wait(lock, [this] { return is_done_ || filled_ != taken_; });
  if (filled_ == taken_) return nullptr;
  Chunk* chunk = &ring_[taken_ % ring_.size()];
  ++taken_;
  changed_.notify_all();
  return chunk;
}

}  // namespace microvmi::dumper
