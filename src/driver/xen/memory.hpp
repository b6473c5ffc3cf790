// SPDX-License-Identifier: Apache-2.0
// XenMemory: a domain's memory, mapped many frames at a time and unmapped as soon as it is copied.
#pragma once

#include <mutex>

#include "driver/xen/guest.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::xen {

// Nothing is kept mapped: a mapping holds on to pages that the guest gives back.
class XenMemory final : public PhysicalMemory {
 public:
  explicit XenMemory(const Guest& guest) : guest_(guest) {}

  // Found out when it is first asked for.
  [[nodiscard]] std::shared_ptr<const MemoryMap> map() const override;
  [[nodiscard]] Expected<void> refresh() override;
  [[nodiscard]] bool writable() const override { return true; }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  const Guest& guest_;
  mutable std::mutex mutex_{};
  mutable std::shared_ptr<const MemoryMap> map_{};
};

}  // namespace microvmi::xen
