// SPDX-License-Identifier: Apache-2.0
// BitmapMemory: guest memory of which a bitmap says which pages lie one behind the other in a file.
#pragma once

#include <memory>

#include "connector/coredump/page_index.hpp"
#include "host/linux/mapped_file.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::coredump_connector {

class BitmapMemory final : public PhysicalMemory {
 public:
  // `data`: where the first page is.
  BitmapMemory(std::shared_ptr<const host::MappedFile> file, PageIndex index, std::uint64_t data);

  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }
  bool viewable() const override { return true; }
  View view(Gpa gpa, std::size_t size) const override;

  // What the file ends before: how many bytes, and the address of the first.
  [[nodiscard]] std::uint64_t missing() const { return missing_; }
  [[nodiscard]] std::uint64_t first_missing() const { return first_missing_; }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override;
  void write_batch(std::span<WriteRequest> batch) override;

 private:
  void make_map();
  void read_one(ReadRequest& request) const;
  [[nodiscard]] std::uint64_t offset_of(std::uint64_t page) const {
    return data_ + index_.rank(page) * kPageSize;
  }
  // Of what is wanted, as much as lies in one piece of the file.
  [[nodiscard]] std::size_t run_of(std::uint64_t gpa, std::size_t wanted) const;

  std::shared_ptr<const host::MappedFile> file_;
  PageIndex index_;
  std::uint64_t data_;
  std::uint64_t missing_ = 0;
  std::uint64_t first_missing_ = 0;
  std::shared_ptr<const MemoryMap> map_;
};

}  // namespace microvmi::coredump_connector
