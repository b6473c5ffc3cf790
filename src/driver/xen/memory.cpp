// SPDX-License-Identifier: Apache-2.0
// Batches cut into pages, mapped together, copied, and the answers put back together.
#include "driver/xen/memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "driver/xen/map.hpp"

namespace microvmi::xen {
namespace {

// Frames of one mapping: the call costs less for each the more there are, and pages are held back
// from the guest meanwhile.
constexpr std::size_t kMostFrames = 512;

std::span<std::byte> bytes_of(const ReadRequest& request) { return request.into; }
std::span<const std::byte> bytes_of(const WriteRequest& request) { return request.from; }

template <class AnyRequest>
class Transfer {
  static constexpr bool kWrites = std::is_same_v<AnyRequest, WriteRequest>;

 public:
  Transfer(const Guest& guest, std::span<AnyRequest> batch) : guest_(guest), batch_(batch) {}

  void run() {
    while (gather()) carry();
    finish();
  }

 private:
  // A part of a request within one page.
  struct Piece {
    AnyRequest* owner;
    std::size_t offset;  // in the request
    std::size_t size;
    std::size_t frame;  // its place in frames_
  };

  // The next pieces; false where there are none. Neighbours in one page share its frame.
  bool gather() {
    pieces_.clear();
    frames_.clear();
    while (at_ < batch_.size()) {
      AnyRequest& owner = batch_[at_];
      const std::size_t whole = bytes_of(owner).size();
      if (owner.status != Errc::none || offset_ == whole) {
        ++at_;
        offset_ = 0;
        continue;
      }
      const Gpa gpa = owner.gpa + offset_;
      const std::uint64_t frame = to_integer(frame_of(gpa));
      if (frame >= kFrameLimit) {
        if (!pieces_.empty()) return true;  // what comes before it is carried first
        owner.status = Errc::hole;
        owner.failed_at = gpa;
        continue;
      }
      if (frames_.empty() || frames_.back() != frame) {
        if (frames_.size() == kMostFrames) return true;
        frames_.push_back(frame);
      }
      const auto size = std::min<std::uint64_t>(whole - offset_, kPageSize - page_offset(gpa));
      pieces_.push_back({&owner, offset_, size, frames_.size() - 1});
      offset_ += size;
    }
    return !pieces_.empty();
  }

  void carry() {
    errors_.assign(frames_.size(), 0);
    void* const pages = guest_.xen().map(guest_.domid(), kWrites, frames_, errors_);
    const Errno error = pages ? 0 : errno;
    for (const Piece& piece : pieces_) {
      AnyRequest& owner = *piece.owner;
      if (owner.status != Errc::none) continue;
      const Errno failed = pages ? errors_[piece.frame] : error;
      if (failed == 0) {
        copy(piece, static_cast<std::byte*>(pages) + piece.frame * kPageSize);
        owner.done += piece.size;
      } else {
        owner.status = pages ? Errc::hole : code_of(error);
        owner.failed_at = owner.gpa + owner.done;
      }
    }
    if (pages) guest_.xen().unmap(pages, frames_.size());
  }

  void copy(const Piece& piece, std::byte* page) {
    if (piece.size == 0) return;
    std::byte* const there = page + page_offset(piece.owner->gpa + piece.offset);
    if constexpr (kWrites)
      std::memcpy(there, piece.owner->from.data() + piece.offset, piece.size);
    else
      std::memcpy(piece.owner->into.data() + piece.offset, there, piece.size);
  }

  // Once it is over the domain must be the one that was opened: then it was all the time. That a
  // hole is one can be said only of a guest that is there.
  void finish() {
    const auto now = guest_.look();
    if (now) return;
    for (AnyRequest& owner : batch_) {
      owner.done = 0;
      owner.status = now.error().code;
      owner.failed_at = owner.gpa;
    }
  }

  const Guest& guest_;
  std::span<AnyRequest> batch_;
  std::size_t at_ = 0;
  std::size_t offset_ = 0;
  std::vector<Piece> pieces_{};
  std::vector<std::uint64_t> frames_{};
  std::vector<int> errors_{};
};

}  // namespace

std::shared_ptr<const MemoryMap> XenMemory::map() const {
  const std::lock_guard lock(mutex_);
  if (map_) return map_;
  auto built = build_map(guest_);
  // Of a domain that is gone nothing is known; whoever reads is told.
  if (!built) return std::make_shared<const MemoryMap>(MemoryMap{.exact = false});
  map_ = std::make_shared<const MemoryMap>(*std::move(built));
  return map_;
}

// Pages of an HVM guest may be there only once they are touched, by a mapping of ours as well.
// Where more have to come than Xen has at hand for it, the one too many ends the guest: until its
// balloon has given the rest back it must not be read. Where none have to come, none will.
bool XenMemory::would_end_guest() const {
  if (is_complete_ || !guest_.is_hvm()) return false;
  std::uint64_t waiting = 0;
  std::uint64_t at_hand = 0;
  if (guest_.xen().pages_on_demand(guest_.domid(), waiting, at_hand) != 0) return false;
  is_complete_ = waiting == 0;
  return waiting > at_hand;
}

template <class AnyRequest>
bool XenMemory::refuse(std::span<AnyRequest> batch) const {
  if (!would_end_guest()) return false;
  for (AnyRequest& one : batch) one.status = Errc::busy;
  return true;
}

Expected<void> XenMemory::refresh() {
  kept_.drop();
  is_complete_ = false;
  auto built = build_map(guest_);
  if (!built) return std::unexpected(std::move(built.error()));
  const std::lock_guard lock(mutex_);
  if (map_ && map_->regions == built->regions && map_->exact == built->exact) return {};
  built->generation = map_ ? map_->generation + 1 : 0;
  map_ = std::make_shared<const MemoryMap>(*std::move(built));
  return {};
}

void XenMemory::read_batch(std::span<ReadRequest> batch) const {
  if (refuse(batch) || (batch.size() == 1 && kept_.read(batch.front()))) return;
  Transfer(guest_, batch).run();
}

void XenMemory::write_batch(std::span<WriteRequest> batch) {
  if (!refuse(batch)) Transfer(guest_, batch).run();
}

}  // namespace microvmi::xen
