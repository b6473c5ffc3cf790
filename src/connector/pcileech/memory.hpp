// SPDX-License-Identifier: Apache-2.0
// LeechMemory: guest memory through the helper's pages.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "connector/pcileech/device.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::pcileech_connector {

struct Manner {
  bool given = false;  // the map is its owner's, which no refresh changes
  std::chrono::milliseconds timeout{};
  LogSink log{};  // for what LeechCore prints, in whatever thread reads or writes
};

class LeechMemory final : public PhysicalMemory {
 public:
  LeechMemory(std::unique_ptr<Helper> helper, const OpenedDevice& device, Manner manner)
      : helper_(std::move(helper)),
        map_(std::make_shared<const MemoryMap>(device.map)),
        is_volatile_(device.is_volatile),
        is_writable_(device.is_writable),
        manner_(std::move(manner)) {}

  std::shared_ptr<const MemoryMap> map() const override;
  Expected<void> refresh() override;
  bool writable() const override { return is_writable_; }

 protected:
  // Always whole pages: the fewest devices are quicker with less, and one that reads a file by
  // stdio would show old bytes of a page that it has read in part before.
  void read_batch(std::span<ReadRequest> batch) const override;

  // LeechCore takes whole dwords, eight bytes at least: what lies beside a write that is less is
  // read before and written back.
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  void tell() const;  // what was printed; while calls_ is held

  mutable std::mutex calls_;  // of the helper
  mutable std::size_t told_ = 0;
  std::unique_ptr<Helper> helper_;
  mutable std::mutex map_lock_;
  std::shared_ptr<const MemoryMap> map_;
  bool is_volatile_;
  bool is_writable_;
  Manner manner_;
};

// For the log, in lines of their own.
void tell(const LogSink& log, std::span<const std::string> lines);

}  // namespace microvmi::pcileech_connector
