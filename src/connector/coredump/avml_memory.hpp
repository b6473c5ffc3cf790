// SPDX-License-Identifier: Apache-2.0
// AvmlMemory: guest memory in chunks of up to 64 KiB, each packed by snappy.
#pragma once

#include <memory>
#include <vector>

#include "codec/codec.hpp"
#include "connector/coredump/extents.hpp"
#include "connector/coredump/format.hpp"
#include "connector/coredump/page_cache.hpp"

namespace microvmi::coredump_connector {

inline constexpr std::uint32_t kAvmlCrc = 4;  // bytes of a chunk before its data

struct AvmlChunk {
  std::uint64_t gpa = 0;
  std::uint64_t offset = 0;  // of its checksum in the file
  std::uint32_t packed = 0;  // with the checksum
  std::uint32_t plain = 0;
  bool is_compressed = false;
};

struct AvmlChunks {
  std::vector<AvmlChunk> chunks{};  // in the order of the file
  std::vector<Extent> missing{};    // what the end of the file has cut off
};

class AvmlMemory final : public PhysicalMemory {
 public:
  [[nodiscard]] static Expected<std::unique_ptr<AvmlMemory>> make(const Source& source,
                                                                  AvmlChunks chunks);

  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }
  [[nodiscard]] std::uint64_t bytes() const { return sum(extents_); }  // that it has of memory

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  explicit AvmlMemory(std::shared_ptr<const host::MappedFile> file);
  void read_one(ReadRequest& request) const;
  [[nodiscard]] std::size_t copy(const Extent& extent, std::uint64_t at,
                                 std::span<std::byte> into) const;
  [[nodiscard]] bool unpack(const AvmlChunk& chunk, std::span<std::byte> plain) const;

  std::shared_ptr<const host::MappedFile> file_;
  std::vector<AvmlChunk> chunks_;
  std::vector<Extent>
      extents_;  // an extent's offset is 64 KiB times its chunk, and what is skipped
  std::vector<Extent> missing_;
  std::shared_ptr<const MemoryMap> map_;
  PageCache cache_;
};

}  // namespace microvmi::coredump_connector
