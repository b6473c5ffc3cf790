// SPDX-License-Identifier: Apache-2.0
// ProcessMemory: guest memory that lies in another process, such as a QEMU.
//
// Shared file mappings (memfd, file and hugetlbfs backends with share=on) are mapped here too and
// read in place; everything else is copied by process_vm_readv or from /proc/PID/mem, whichever is
// cheaper. Once per batch the process is checked to be alive after the copy: a dead one gives
// Errc::disconnected for the whole batch. A View goes on showing the last contents instead.
//
// The layout is looked at again by refresh(), where an address of it turns out to be unmapped, and
// by a read or write that comes kRecheckInterval or more after the last look. Where a change of the
// layout is told by one of the mappings, the latter two ask the LayoutSource only if those have
// changed that are or could be guest memory. They run in the thread that reads.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

#include "host/linux/process.hpp"
#include "host/linux/snapshot_store.hpp"
#include "host/linux/transfer.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::host {

enum class CopyMode : std::uint8_t {
  mapping,  // in place where that is possible
  reads     // system calls alone: no mapping of ours keeps the guest's memory alive
};

// What shows that the layout may have changed; the source itself where it is cheap to ask.
enum class ChangeToldBy : std::uint8_t { mappings, source };

// Called from any thread, though from one at a time, for as long as the ProcessMemory lives.
using LayoutSource = std::function<Expected<Layout>()>;

class ProcessMemory final : public PhysicalMemory {
 public:
  static constexpr std::chrono::milliseconds kRecheckInterval{1000};

  [[nodiscard]] static Expected<std::unique_ptr<ProcessMemory>> open(
      Process process, LayoutSource source, CopyMode mode = CopyMode::mapping,
      ChangeToldBy told_by = ChangeToldBy::mappings);

  [[nodiscard]] const Process& process() const { return process_; }

  // What is behind map() now: where the process has it.
  [[nodiscard]] Layout layout() const { return SnapshotStore::Pin(snapshots_)->layout; }

  [[nodiscard]] std::shared_ptr<const MemoryMap> map() const override;
  [[nodiscard]] Expected<void> refresh() override;
  [[nodiscard]] bool writable() const override { return process_.writable(); }
  [[nodiscard]] bool viewable() const override { return viewable_; }

  // Empty where the bytes are not in one mapping, and for a dead process. A file that is cut under
  // a view makes touching it raise SIGBUS; read() gives Errc::io instead.
  [[nodiscard]] View view(Gpa gpa, std::size_t size) const override;

  // Known of memfd and other tmpfs files alone.
  [[nodiscard]] Touched touched(Gpa gpa, std::uint64_t size) const override;

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  ProcessMemory(Process process, LayoutSource source, CopyMode mode, ChangeToldBy told_by)
      : process_(std::move(process)), source_(std::move(source)), mode_(mode), told_by_(told_by) {}

  // What a run over a batch found out.
  struct Outcome {
    bool faulted = false;      // bytes were not where the layout has them
    bool unvouched = false;    // right only if the process is still alive
    std::uint64_t serial = 0;  // of the snapshot
  };

  template <class Request>
  void run_batch(std::span<Request> batch) const;
  template <class Request>
  Outcome run(std::span<Request> batch) const;
  template <class Request>
  void move(const Snapshot& snapshot, Transfer<Request>& transfer, std::span<Request> batch,
            std::size_t index) const;

  // These four: with mutex_ held.
  Expected<Layout> ask() const;
  Expected<void> derive() const;
  bool recheck() const;
  Expected<void> publish(Layout layout, const Snapshot* previous) const;

  bool read_one(ReadRequest& request) const;
  bool recheck_is_due() const;
  void recheck_if_due() const;
  bool recheck_after_fault(std::uint64_t serial) const;

  Process process_;
  LayoutSource source_;
  CopyMode mode_;
  ChangeToldBy told_by_;
  bool viewable_ = false;
  mutable Calls calls_;
  mutable SnapshotStore snapshots_;
  mutable std::mutex mutex_;
  mutable bool source_failed_ = false;  // when it was last asked; then it is asked again
  mutable std::atomic<std::int64_t> next_check_{0};
};

}  // namespace microvmi::host
