// SPDX-License-Identifier: Apache-2.0
// kdump-compressed files for the benches: written by the tests' own writer, into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "microvmi/vm.hpp"

namespace microvmi::bench {

struct PagePacker {
  const char* name;
  std::uint32_t flag;  // of its pages and its file
  // How many bytes of `out` it took, 0 where they were not enough; null for none.
  std::size_t (*pack)(std::span<const std::byte> in, std::span<std::byte> out);
  bool (*unpack)(std::span<const std::byte> in, std::span<std::byte> out);
};

// zlib, lzo, snappy, zstd, none.
[[nodiscard]] std::span<const PagePacker> page_packers();

// A page as it is stored: packed where that made it smaller.
[[nodiscard]] std::vector<std::byte> packed_page(std::span<const std::byte> page,
                                                 const PagePacker& packer);

// The whole file. Pages of zeros are one block, as QEMU and microvmi write them.
[[nodiscard]] std::vector<std::byte> kdump_of(std::span<const std::byte> memory,
                                              const PagePacker& packer);

// A file without a name in memory.
class KdumpFile {
 public:
  explicit KdumpFile(std::span<const std::byte> bytes);
  KdumpFile(const KdumpFile&) = delete;
  KdumpFile& operator=(const KdumpFile&) = delete;
  ~KdumpFile();
  void write(std::span<const std::byte> bytes, std::uint64_t offset) const;
  void resize(std::uint64_t size) const;
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] Vm open() const;

 private:
  int fd_;
};

}  // namespace microvmi::bench
