// SPDX-License-Identifier: Apache-2.0
// XenMemory: a domain's memory, mapped many frames at a time and unmapped as soon as it is copied,
// but for what is kept of small reads while we hold the domain paused.
#pragma once

#include <atomic>
#include <mutex>

#include "driver/xen/kept_pages.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::xen {

class XenMemory final : public PhysicalMemory {
 public:
  explicit XenMemory(const Guest& guest) : guest_(guest) {}

  // Found out when it is first asked for.
  [[nodiscard]] std::shared_ptr<const MemoryMap> map() const override;
  [[nodiscard]] Expected<void> refresh() override;
  [[nodiscard]] bool writable() const override { return true; }

  [[nodiscard]] KeptPages& kept() { return kept_; }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  [[nodiscard]] bool would_end_guest() const;
  template <class AnyRequest>
  [[nodiscard]] bool refuse(std::span<AnyRequest> batch) const;

  const Guest& guest_;
  mutable std::atomic<bool> is_complete_ = false;  // no page of it has to come yet
  mutable KeptPages kept_{guest_};
  mutable std::mutex mutex_{};
  mutable std::shared_ptr<const MemoryMap> map_{};
};

}  // namespace microvmi::xen
