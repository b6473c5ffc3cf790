// SPDX-License-Identifier: Apache-2.0
// When and how ProcessMemory looks at the layout again.
#include <algorithm>
#include <ctime>

#include "host/linux/maps.hpp"
#include "host/linux/process_memory.hpp"

namespace microvmi::host {
namespace {

// Answered without a system call, and exact enough: it moves with the kernel's tick.
std::int64_t now_in_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

Expected<void> ProcessMemory::publish(Layout layout, const Snapshot* previous) const {
  auto maps = read_maps(process_.pid());
  if (!process_.alive()) return std::unexpected(process_.gone());
  if (!maps) return std::unexpected(maps.error());
  auto snapshot = make_snapshot(process_, {.layout = std::move(layout),
                                           .maps = *std::move(maps),
                                           .map_files = mode_ == CopyMode::mapping,
                                           .previous = previous});
  if (!snapshot) return std::unexpected(snapshot.error());
  snapshots_.publish(*std::move(snapshot));
  return {};
}

Expected<Layout> ProcessMemory::ask() const {
  if (!process_.alive()) return std::unexpected(process_.gone());
  auto layout = source_();
  source_failed_ = !layout;
  if (!layout && !process_.alive()) return std::unexpected(process_.gone());
  if (!layout) return layout;
  std::ranges::sort(layout->segments, {}, &Segment::gpa);
  next_check_.store(now_in_ms() + kRecheckInterval.count(), std::memory_order_relaxed);
  return layout;
}

Expected<void> ProcessMemory::derive() const {
  auto layout = ask();
  if (!layout) return std::unexpected(layout.error());
  const SnapshotStore::Pin current(snapshots_);
  return publish(*std::move(layout), current.get());
}

// True where something is different now.
bool ProcessMemory::recheck() const {
  next_check_.store(now_in_ms() + kRecheckInterval.count(), std::memory_order_relaxed);
  snapshots_.free_unused();
  const auto maps = read_maps(process_.pid());
  if (!maps) return false;
  const SnapshotStore::Pin current(snapshots_);
  const bool same = relevant(*maps, current->layout) == current->maps;
  if (same && !source_failed_ && told_by_ == ChangeToldBy::mappings) return false;
  auto layout = ask();
  if (same && layout && *layout == current->layout) return false;
  if (layout && publish(*std::move(layout), current.get())) return true;
  // The old layout over the new mappings: at least nothing comes from a mapping that is gone.
  return publish(current->layout, current.get()).has_value();
}

bool ProcessMemory::recheck_is_due() const {
  return now_in_ms() >= next_check_.load(std::memory_order_relaxed);
}

void ProcessMemory::recheck_if_due() const {
  if (!recheck_is_due()) [[likely]]
    return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock) recheck();
}

bool ProcessMemory::recheck_after_fault(std::uint64_t serial) const {
  const std::lock_guard lock(mutex_);
  return SnapshotStore::Pin(snapshots_)->serial != serial || recheck();
}

Expected<void> ProcessMemory::refresh() {
  const std::lock_guard lock(mutex_);
  return derive();
}

}  // namespace microvmi::host
