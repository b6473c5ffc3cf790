// SPDX-License-Identifier: Apache-2.0
// LeechMemory: guest memory through the helper's pages.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>

#include "connector/pcileech/device.hpp"

namespace microvmi::pcileech_connector {

class LeechMemory final : public PhysicalMemory {
 public:
  // `given`: the map is its owner's, which no refresh changes.
  LeechMemory(std::unique_ptr<Helper> helper, const OpenedDevice& device, bool given,
              std::chrono::milliseconds timeout)
      : helper_(std::move(helper)),
        map_(std::make_shared<const MemoryMap>(device.map)),
        is_volatile_(device.is_volatile),
        is_writable_(device.is_writable),
        given_(given),
        timeout_(timeout) {}

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
  mutable std::mutex calls_;  // of the helper
  std::unique_ptr<Helper> helper_;
  mutable std::mutex map_lock_;
  std::shared_ptr<const MemoryMap> map_;
  bool is_volatile_;
  bool is_writable_;
  bool given_;
  std::chrono::milliseconds timeout_;
};

}  // namespace microvmi::pcileech_connector
