// SPDX-License-Identifier: Apache-2.0
// WriteWatch: which pages of another process are written, from outside.
//
// Writes through the address space of that process are seen: its own, those of its KVM guest, of
// vhost and of process_vm_writev. Writes to shared memory by a third process, or by a device
// through an IOMMU, are not.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/linux/descriptor.hpp"
#include "host/linux/process.hpp"

namespace microvmi::host {

// Whole pages of an address space.
struct HvaRange {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  bool operator==(const HvaRange&) const = default;
};

class WriteWatch {
 public:
  WriteWatch() = default;
  WriteWatch(const WriteWatch&) = delete;
  WriteWatch& operator=(const WriteWatch&) = delete;
  virtual ~WriteWatch() = default;

  // Those of these ranges that may have been written since the last call, or since the beginning;
  // all of a range that was not asked for then. In order of the ranges.
  [[nodiscard]] virtual Expected<std::vector<HvaRange>> take(std::span<const HvaRange> of) = 0;
  [[nodiscard]] virtual const char* name() const = 0;
};

// Whether this kernel has soft-dirty bits (CONFIG_MEM_SOFT_DIRTY).
[[nodiscard]] bool has_soft_dirty();
// Whether it has asynchronous write protection and PAGEMAP_SCAN, for what they are; see below.
[[nodiscard]] bool has_write_protection();

// All soft-dirty bits of the process are cleared once, here: clearing them again could lose what is
// written between look and clearing, so that take() tells all that was written since the beginning.
// The process must outlive the watch; here and below.
[[nodiscard]] Expected<std::unique_ptr<WriteWatch>> watch_soft_dirty(const Process& process);

// Write protection that the kernel itself lifts at the first write (UFFD_FEATURE_WP_ASYNC and
// PAGEMAP_SCAN, Linux 6.7). `userfaultfd` is one of that process; closing it ends all.
[[nodiscard]] Expected<std::unique_ptr<WriteWatch>> watch_by_userfaultfd(
    const Process& process, Descriptor userfaultfd, std::span<const HvaRange> first);

}  // namespace microvmi::host
