// SPDX-License-Identifier: Apache-2.0
// The writer's side of SnapshotStore.
#include "host/linux/snapshot_store.hpp"

namespace microvmi::host {

std::size_t SnapshotStore::index_of_thread() {
  static std::atomic<std::uint32_t> next{0};
  [[gnu::tls_model("initial-exec")]] thread_local constinit std::uint32_t mine = kSlots;
  if (mine == kSlots) mine = next.fetch_add(1, std::memory_order_relaxed) % kSlots;
  return mine;
}

void SnapshotStore::publish(std::unique_ptr<const Snapshot> snapshot) {
  std::unique_ptr<const Snapshot> old(
      current_.exchange(snapshot.release(), std::memory_order_seq_cst));
  if (old) retired_.push_back({.snapshot = std::move(old)});
  free_unused();
}

void SnapshotStore::free_unused() {
  for (Retired& retired : retired_)
    for (std::size_t i = 0; i < kSlots; ++i)
      if (slots_[i].readers.load(std::memory_order_seq_cst) == 0)
        retired.busy &= ~(std::uint32_t{1} << i);
  std::erase_if(retired_, [](const Retired& retired) { return retired.busy == 0; });
}

}  // namespace microvmi::host
