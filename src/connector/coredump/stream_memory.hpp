// SPDX-License-Identifier: Apache-2.0
// StreamMemory: guest memory whose pages lie in a file with something between them, or that are
// all of one byte and not there at all.
#pragma once

#include <memory>
#include <vector>

#include "connector/coredump/extents.hpp"
#include "connector/coredump/stream_layout.hpp"
#include "host/linux/mapped_file.hpp"

namespace microvmi::coredump_connector {

class StreamMemory final : public PhysicalMemory {
 public:
  // Of the copies of a page that a running guest has sent, the last one counts.
  [[nodiscard]] static Expected<std::unique_ptr<StreamMemory>> make(const Source& source,
                                                                    const StreamRam& ram,
                                                                    const StreamLayout& layout);

  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }

  // RAM of which the stream has no page, though it must have had some: it was cut off.
  [[nodiscard]] const std::vector<Extent>& missing() const { return missing_; }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  // A run of pages, at a place that counts through all of them: `start` is the sum of those before.
  struct Run {
    std::uint64_t start = 0;
    std::uint64_t offset = 0;
    std::uint32_t stride = 0;
    std::uint8_t fill = 0;
  };

  explicit StreamMemory(std::shared_ptr<const host::MappedFile> file) : file_(std::move(file)) {}
  [[nodiscard]] std::vector<Extent> collect(const StreamRam& ram, const StreamLayout& layout);
  void find_missing(const StreamLayout& layout);
  void read_one(ReadRequest& request) const;
  [[nodiscard]] std::size_t copy(const Extent& extent, std::uint64_t at,
                                 std::span<std::byte> into) const;

  std::shared_ptr<const host::MappedFile> file_;
  std::vector<Run> runs_;
  std::vector<Extent> extents_;  // an extent's offset is a place among the runs
  std::vector<Extent> missing_;
  std::shared_ptr<const MemoryMap> map_;
};

}  // namespace microvmi::coredump_connector
