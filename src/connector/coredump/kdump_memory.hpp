// SPDX-License-Identifier: Apache-2.0
// KdumpMemory: guest memory whose pages lie compressed in one file or several.
#pragma once

#include <memory>
#include <vector>

#include "connector/coredump/bytes.hpp"
#include "connector/coredump/kdump_header.hpp"
#include "connector/coredump/page_cache.hpp"
#include "connector/coredump/page_index.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::coredump_connector {

// One file: the pages from `first` to before `last`, and where their descriptors begin.
struct KdumpPart {
  Bytes bytes;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t descriptors = 0;
};

// Reads of whole pages are decompressed to where they are wanted; parts of pages come from a cache
// of 32 MiB at most. What a batch wants of more than 64 pages is shared out to all cores.
class KdumpMemory final : public PhysicalMemory {
 public:
  // `existing`: the pages that the machine had; those that are not in `index` read as zeros where
  // it is given, as then only pages of zeros were left out. `parts` by their first page.
  KdumpMemory(std::vector<KdumpPart> parts, PageIndex index, std::optional<PageIndex> existing,
              std::uint64_t page_size, bool is_x86);

  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  struct Descriptor;
  struct Job;
  [[nodiscard]] MemoryMap make_map(bool is_x86) const;
  void read_one(ReadRequest& request) const;
  void read_shared_out(std::span<ReadRequest> batch) const;
  [[nodiscard]] Errc read_part(std::uint64_t page, std::size_t skip,
                               std::span<std::byte> into) const;
  [[nodiscard]] Errc read_page(std::uint64_t page, std::span<std::byte> into) const;
  [[nodiscard]] Errc unpack(const KdumpPart& part, const Descriptor& descriptor,
                            std::span<std::byte> into) const;
  [[nodiscard]] const KdumpPart* part_of(std::uint64_t page) const;
  // The next page that the machine had, or the next that it had not.
  [[nodiscard]] const PageIndex& known() const { return existing_ ? *existing_ : index_; }

  std::vector<KdumpPart> parts_;
  std::vector<std::uint64_t> ranks_;  // of the first page of each part
  PageIndex index_;
  std::optional<PageIndex> existing_;
  std::uint64_t page_size_;
  unsigned page_bits_;
  PageCache cache_;
  std::shared_ptr<const MemoryMap> map_;
};

}  // namespace microvmi::coredump_connector
