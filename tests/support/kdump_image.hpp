// SPDX-License-Identifier: Apache-2.0
// KdumpImage: writes a kdump-compressed dump field by field, right or wrong as asked. It shares
// nothing with the library, neither code nor structures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace microvmi::test {

struct KdumpPage {
  std::uint64_t number = 0;
  std::vector<std::byte> stored{};                     // as it lies in the file
  std::uint32_t flags = 0;                             // 1 zlib, 2 lzo, 4 snappy, 0x20 zstd
  std::optional<std::uint64_t> offset = std::nullopt;  // in its descriptor, else where it lies
  std::optional<std::uint32_t> size = std::nullopt;
};

struct KdumpImage {
  unsigned bits = 64;
  std::int32_t version = 6;
  std::uint32_t status = 1;
  std::int32_t block_size = 4096;
  std::int32_t sub_blocks = 1;
  std::optional<std::uint32_t> bitmap_blocks = std::nullopt;  // as the pages need
  std::uint64_t max_mapnr = 64;
  std::int32_t dump_level = 31;
  std::int32_t split = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string machine = "x86_64";
  std::string vmcoreinfo{};
  std::vector<KdumpPage> pages{};         // ascending; descriptors of those from first to last
  std::vector<std::uint64_t> excluded{};  // in the first bitmap alone
  std::vector<std::uint64_t> beyond{};    // set in both, though no page is there

  [[nodiscard]] std::vector<std::byte> bytes() const;
};

struct FlatRecord {
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes{};
  std::optional<std::uint64_t> size = std::nullopt;  // in its head
};

// A flattened file; without its end mark where it was cut off.
std::vector<std::byte> flattened(const std::vector<FlatRecord>& records, bool with_end = true);

// The bytes in records of `size` bytes each.
std::vector<FlatRecord> records_of(const std::vector<std::byte>& bytes, std::size_t size);

}  // namespace microvmi::test
