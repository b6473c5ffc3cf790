// SPDX-License-Identifier: Apache-2.0
// MappedMemory: guest memory that lies in a file as it is, whatever the order.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "connector/coredump/extents.hpp"
#include "host/linux/mapped_file.hpp"

namespace microvmi::coredump_connector {

class MappedMemory final : public PhysicalMemory {
 public:
  // `missing`: memory that the image had before it was cut off. To read it is an error, no hole.
  MappedMemory(std::shared_ptr<const host::MappedFile> file, std::vector<Extent> extents,
               std::vector<Extent> missing = {});

  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }
  bool viewable() const override { return true; }

  // Of one piece of the file. Touching what a file that was cut meanwhile has lost raises SIGBUS;
  // read() answers with Errc::io.
  View view(Gpa gpa, std::size_t size) const override;

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  void read_one(ReadRequest& request) const;
  [[nodiscard]] const Extent* extent_at(std::uint64_t gpa) const;

  std::shared_ptr<const host::MappedFile> file_;
  std::vector<Extent> extents_;
  std::vector<Extent> missing_;
  std::shared_ptr<const MemoryMap> map_;
  mutable std::atomic<std::uint32_t> last_ = 0;  // where the last read began, for the next one
};

}  // namespace microvmi::coredump_connector
