// SPDX-License-Identifier: Apache-2.0
// Reads and writes over the pieces of a snapshot.
#include "host/linux/process_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/linux/copy_guard.hpp"
#include "host/linux/guarded_copy.hpp"

namespace microvmi::host {
namespace {

std::size_t size_of(const ReadRequest& request) { return request.into.size(); }
std::size_t size_of(const WriteRequest& request) { return request.from.size(); }

template <class Request>
void stop(Request& request, Errc status) {
  request.status = status;
  request.failed_at = request.gpa + request.done;
}

constexpr bool usable(const Piece&, const ReadRequest&) { return true; }
constexpr bool usable(const Piece& piece, const WriteRequest&) { return piece.writable; }

// What this process has mapped itself is only read: a stray store here must not reach a guest.
const std::byte* local_of(const Piece& piece, const ReadRequest&) { return piece.local; }
const std::byte* local_of(const Piece&, const WriteRequest&) { return nullptr; }

bool copy(ReadRequest& request, std::size_t offset, const std::byte* from, std::size_t size) {
  const std::size_t copied = guarded_copy(request.into.data() + offset, from, size);
  request.done += copied;
  if (copied == size) return true;
  stop(request, Errc::io);
  return false;
}
bool copy(WriteRequest&, std::size_t, const std::byte*, std::size_t) { return false; }

void prefetch(const Piece& piece, const ReadRequest& request) {
  const std::uint64_t offset = to_integer(request.gpa) - piece.gpa;
  if (piece.local && offset < piece.size) __builtin_prefetch(piece.local + offset);
}

// A long one that goes on where the one before it ends is on its way without our help.
bool goes_on(std::span<const ReadRequest> batch, std::size_t i) {
  constexpr std::size_t kLong = kPageSize / 2;
  const std::size_t size = batch[i - 1].into.size();
  return size >= kLong && batch[i].gpa == batch[i - 1].gpa + size;
}

// Requests from the front on that lie in one local piece each; stops before the first that does
// not, or whose file was cut: move() then says how far it goes.
void copy_under(CopyGuard& guard, const Snapshot& snapshot, std::span<ReadRequest> batch) {
  constexpr std::size_t kAhead = 64;  // loads that are on their way at once
  const Piece* piece = snapshot.pieces.data();
  for (std::size_t i = 1; i < std::min(kAhead, batch.size()); ++i)
    if (!goes_on(batch, i)) prefetch(*piece, batch[i]);
  std::size_t i = 0;
  for (; i < batch.size(); ++i) {
    ReadRequest& request = batch[i];
    const std::uint64_t gpa = to_integer(request.gpa);
    const std::size_t size = request.into.size();
    if (gpa - piece->gpa >= piece->size) piece = snapshot.find(gpa);
    if (!piece) break;
    const std::uint64_t offset = gpa - piece->gpa;
    if (!piece->local || size > piece->size - offset) break;
    if (i + kAhead < batch.size() && !goes_on(batch, i + kAhead))
      prefetch(*piece, batch[i + kAhead]);
    guard.index = i;
    guard.copy(request.into.data(), piece->local + offset, size);
    request.done = size;
  }
  guard.index = i;
}

std::size_t copy_local(const Snapshot& snapshot, std::span<ReadRequest> batch) {
  if (batch.empty()) return 0;
  CopyGuard guard;
  CopyGuard* const before = CopyGuard::enter(guard);
  if (sigsetjmp(guard.back, 0) == 0) copy_under(guard, snapshot, batch);
  CopyGuard::leave(before);
  return guard.index;
}
std::size_t copy_local(const Snapshot&, std::span<WriteRequest>) { return 0; }

}  // namespace

Expected<std::unique_ptr<ProcessMemory>> ProcessMemory::open(Process process, LayoutSource source,
                                                             CopyMode mode, ChangeToldBy told_by) {
  std::unique_ptr<ProcessMemory> memory(
      new ProcessMemory(std::move(process), std::move(source), mode, told_by));
  install_copy_guard();
  const std::lock_guard lock(memory->mutex_);
  if (auto derived = memory->derive(); !derived) return std::unexpected(derived.error());
  memory->viewable_ = !SnapshotStore::Pin(memory->snapshots_)->mappings.empty();
  return memory;
}

std::shared_ptr<const MemoryMap> ProcessMemory::map() const {
  return SnapshotStore::Pin(snapshots_)->map;
}

View ProcessMemory::view(Gpa gpa, std::size_t size) const {
  const SnapshotStore::Pin snapshot(snapshots_);
  const Piece* piece = snapshot->find(to_integer(gpa));
  if (!piece || !piece->local || size == 0) return {};
  const std::uint64_t offset = to_integer(gpa) - piece->gpa;
  if (size > piece->size - offset || !process_.alive()) return {};
  return {snapshot->mappings[piece->mapping], {piece->local + offset, size}};
}

Touched ProcessMemory::touched(Gpa gpa, std::uint64_t size) const {
  const SnapshotStore::Pin snapshot(snapshots_);
  const Piece* piece = snapshot->find(to_integer(gpa));
  if (!piece || !piece->local || !process_.alive()) return {0, size};
  const std::uint64_t offset = to_integer(gpa) - piece->gpa;
  const std::uint64_t part = std::min(size, piece->size - offset);
  return snapshot->mappings[piece->mapping]->touched(piece->local + offset, part);
}

template <class Request>
void ProcessMemory::move(const Snapshot& snapshot, Transfer<Request>& transfer,
                         std::span<Request> batch, std::size_t index) const {
  Request& request = batch[index];
  const std::uint64_t gpa = to_integer(request.gpa);
  const std::size_t size = size_of(request);
  std::size_t offset = 0;
  while (offset < size) {
    const Piece* piece = snapshot.find(gpa + offset);
    const std::byte* local = piece ? local_of(*piece, request) : nullptr;
    const bool good = piece && usable(*piece, request);
    // Bytes are settled in order: what is refused or copied here must wait for what was gathered.
    if ((!good || local) && transfer.waits(index)) transfer.flush();
    if (request.status != Errc::none) return;
    if (!good) return stop(request, piece ? Errc::read_only : Errc::hole);
    const std::uint64_t start = gpa + offset - piece->gpa;
    const std::size_t part = std::min<std::uint64_t>(size - offset, piece->size - start);
    if (!local) {
      transfer.add(index, offset, piece->hva + start, part);
    } else if (!copy(request, offset, local + start, part)) {
      return;
    }
    offset += part;
  }
}

template <class Request>
ProcessMemory::Outcome ProcessMemory::run(std::span<Request> batch) const {
  const SnapshotStore::Pin snapshot(snapshots_);
  const bool mapped = !snapshot->mappings.empty();
  std::size_t i = mapped ? copy_local(*snapshot, batch) : 0;
  if (i == batch.size()) return {.unvouched = true, .serial = snapshot->serial};
  Transfer<Request> transfer(process_, calls_, batch);
  while (i < batch.size()) {
    move(*snapshot, transfer, batch, i++);
    if (mapped) i += copy_local(*snapshot, batch.subspan(i));
  }
  transfer.flush();
  return {.faulted = transfer.faulted(),
          .unvouched = transfer.used_pid() || mapped,
          .serial = snapshot->serial};
}

template <class Request>
void ProcessMemory::run_batch(std::span<Request> batch) const {
  recheck_if_due();
  Outcome outcome = run(batch);
  if (outcome.faulted && recheck_after_fault(outcome.serial)) {
    for (Request& request : batch) {
      if (request.status != Errc::hole) continue;
      request.status = Errc::none;
      request.done = 0;
      outcome.unvouched |= run(std::span(&request, 1)).unvouched;
    }
  }
  if (!outcome.unvouched || process_.alive()) return;
  for (Request& request : batch) {
    request.done = 0;
    stop(request, Errc::disconnected);
  }
}

// What run_batch() does where all is simple, in half as many instructions: they count where the
// next copy should be on its way before this one has ended.
bool ProcessMemory::read_one(ReadRequest& request) const {
  const SnapshotStore::Pin snapshot(snapshots_);
  const std::uint64_t gpa = to_integer(request.gpa);
  const Piece* piece = snapshot->find(gpa);
  if (!piece || !piece->local) return false;
  const std::uint64_t offset = gpa - piece->gpa;
  // On its way while the rest is looked at; what goes on where the copy before ended is already.
  const std::byte* const from = piece->local + offset;
  if (from != t_copied_to) __builtin_prefetch(from);
  if (recheck_is_due() || request.into.size() > piece->size - offset) return false;
  CopyGuard guard;
  CopyGuard* const before = CopyGuard::enter(guard);
  guard.index = 0;
  if (sigsetjmp(guard.back, 0) == 0) {
    guard.copy(request.into.data(), from, request.into.size());
    guard.index = 1;
  }
  CopyGuard::leave(before);
  if (guard.index == 0 || !process_.alive()) return false;
  request.done = request.into.size();
  return true;
}

void ProcessMemory::read_batch(std::span<ReadRequest> batch) const {
  if (batch.size() == 1 && read_one(batch[0])) return;
  run_batch(batch);
}

void ProcessMemory::write_batch(std::span<WriteRequest> batch) {
  if (!process_.writable()) {
    for (WriteRequest& request : batch) stop(request, Errc::permission_denied);
    return;
  }
  // By number, a write must not reach whatever process came after a dead one.
  if (!process_.alive()) {
    for (WriteRequest& request : batch) stop(request, Errc::disconnected);
    return;
  }
  run_batch(batch);
}

}  // namespace microvmi::host
