// SPDX-License-Identifier: Apache-2.0
// The writer's side of SnapshotStore.
#include "host/linux/snapshot_store.hpp"

namespace microvmi::host {

void SnapshotStore::publish(std::unique_ptr<const Snapshot> snapshot) {
  std::unique_ptr<const Snapshot> old(
      current_.exchange(snapshot.release(), std::memory_order_seq_cst));
  if (old) retired_.push_back({.snapshot = std::move(old)});
  free_unused();
}

void SnapshotStore::free_unused() {
  if (retired_.empty() || !ReaderSlot::fence_all()) return;
  for (Retired& retired : retired_)
    for (std::size_t i = 0; i < slots_.size(); ++i)
      if (slots_[i].readers.load(std::memory_order_seq_cst) == 0)
        retired.busy &= ~(std::uint64_t{1} << i);
  std::erase_if(retired_, [](const Retired& retired) { return retired.busy == 0; });
}

}  // namespace microvmi::host
