// SPDX-License-Identifier: Apache-2.0
// SnapshotStore: the snapshot that counts now, for many readers that never wait.
//
// A reader marks a slot of its own thread before it looks which snapshot counts, and clears it when
// it is done. A replaced snapshot is freed once every slot has been clear at least once since: who
// comes later finds the new one. The order of mark and look is not bought by each reader with a
// fence, which would wait for all that it just copied, but by the rare writer for all of them, with
// membarrier(2).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/linux/reader_slot.hpp"
#include "host/linux/snapshot.hpp"

namespace microvmi::host {

class SnapshotStore {
  struct alignas(64) Slot {  // a cache line each
    std::atomic<std::uint32_t> readers{0};
  };

 public:
  class Pin {
   public:
    explicit Pin(const SnapshotStore& store) : index_(ReaderSlot::of_thread()) {
      std::atomic<std::uint32_t>& readers = store.slots_[index_].readers;
      if (index_ != ReaderSlot::kShared && ReaderSlot::fences_are_remote()) {
        readers.store(readers.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
      } else {
        readers.fetch_add(1, std::memory_order_seq_cst);
      }
      readers_ = &readers;
      snapshot_ = store.current_.load(std::memory_order_seq_cst);
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin() {
      if (index_ != ReaderSlot::kShared)
        readers_->store(readers_->load(std::memory_order_relaxed) - 1, std::memory_order_release);
      else
        readers_->fetch_sub(1, std::memory_order_release);
    }

    const Snapshot& operator*() const { return *snapshot_; }
    const Snapshot* operator->() const { return snapshot_; }
    [[nodiscard]] const Snapshot* get() const { return snapshot_; }  // null before the first

   private:
    std::size_t index_;
    std::atomic<std::uint32_t>* readers_;
    const Snapshot* snapshot_;
  };

  SnapshotStore() = default;
  SnapshotStore(const SnapshotStore&) = delete;
  SnapshotStore& operator=(const SnapshotStore&) = delete;
  ~SnapshotStore() { delete current_.load(); }

  // One thread at a time, for both.
  void publish(std::unique_ptr<const Snapshot> snapshot);
  void free_unused();

 private:
  struct Retired {
    std::unique_ptr<const Snapshot> snapshot;
    std::uint64_t busy = ~std::uint64_t{0};  // a bit for each slot not yet seen clear
  };
  static_assert(ReaderSlot::kCount == 64);

  mutable std::array<Slot, ReaderSlot::kCount> slots_{};
  std::atomic<const Snapshot*> current_{nullptr};
  std::vector<Retired> retired_;
};

}  // namespace microvmi::host
