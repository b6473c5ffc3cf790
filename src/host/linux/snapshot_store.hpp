// SPDX-License-Identifier: Apache-2.0
// SnapshotStore: the snapshot that counts now, for many readers that never wait.
//
// A reader counts itself in and out of a slot that it shares with few other threads. A replaced
// snapshot is freed once every slot has been empty at least once since: a reader that comes after
// the replacement finds the new one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/linux/snapshot.hpp"

namespace microvmi::host {

class SnapshotStore {
  static constexpr std::size_t kSlots = 32;
  struct alignas(64) Slot {  // a cache line each
    std::atomic<std::uint32_t> readers{0};
  };

 public:
  class Pin {
   public:
    explicit Pin(const SnapshotStore& store) : slot_(store.slots_[index_of_thread()]) {
      slot_.readers.fetch_add(1, std::memory_order_seq_cst);
      snapshot_ = store.current_.load(std::memory_order_seq_cst);
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin() { slot_.readers.fetch_sub(1, std::memory_order_release); }

    const Snapshot& operator*() const { return *snapshot_; }
    const Snapshot* operator->() const { return snapshot_; }
    [[nodiscard]] const Snapshot* get() const { return snapshot_; }  // null before the first

   private:
    Slot& slot_;
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
    std::uint32_t busy = ~std::uint32_t{0};  // a bit for each slot not yet seen empty
  };
  static_assert(kSlots == 32);

  static std::size_t index_of_thread();

  mutable std::array<Slot, kSlots> slots_{};
  std::atomic<const Snapshot*> current_{nullptr};
  std::vector<Retired> retired_;
};

}  // namespace microvmi::host
