// SPDX-License-Identifier: Apache-2.0
// RamMapping: the file behind a shared mapping of another process, mapped here too.
#pragma once

#include <cstddef>
#include <memory>

#include "host/linux/descriptor.hpp"
#include "host/linux/maps.hpp"
#include "host/linux/process.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::host {

class RamMapping {
 public:
  // Null where that is impossible: a private mapping, no file, a device, no permission. The file
  // is found through the process itself and taken only if device and inode are those of `mapping`.
  [[nodiscard]] static std::shared_ptr<const RamMapping> open(const Process& process,
                                                              const Mapping& mapping);

  RamMapping(const RamMapping&) = delete;
  RamMapping& operator=(const RamMapping&) = delete;
  ~RamMapping();

  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] const Mapping& of() const { return of_; }

  // As PhysicalMemory::touched(), of `size` bytes at `from`, which lie within the mapping.
  [[nodiscard]] Touched touched(const std::byte* from, std::uint64_t size) const;

 private:
  RamMapping(const std::byte* data, Mapping of, Descriptor sparse)
      : data_(data), of_(std::move(of)), sparse_(std::move(sparse)) {}

  const std::byte* data_;
  Mapping of_;
  Descriptor sparse_;  // the file, where reading a hole of it allocates a page
};

}  // namespace microvmi::host
