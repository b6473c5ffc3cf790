// SPDX-License-Identifier: Apache-2.0
// What has to be true of any file that is opened as an image: the map is sorted, in pages, apart,
// and readable all over.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "connector/coredump/format.hpp"

namespace microvmi::fuzz {

// Whether what is in the map can be read whatever the file holds.
enum class Reads : std::uint8_t { always_work, may_fail };

inline void check_reads(const PhysicalMemory& memory, const MemoryRegion& region, Reads reads) {
  std::array<std::byte, 16> into{};
  const std::uint64_t start = to_integer(region.gpa);
  for (const std::uint64_t at : {start, start + region.size / 2, start + region.size - 1}) {
    const bool worked = memory.read(Gpa{at}, std::span(into).first(1)).has_value();
    if (!worked && reads == Reads::always_work) std::abort();
    if (!worked || !memory.viewable()) continue;
    const View view = memory.view(Gpa{at}, 1);
    if (!view || view.bytes()[0] != into[0]) std::abort();
  }
  for (const std::uint64_t at : {start - 8, start + region.size - 8}) {
    std::array batch{ReadRequest{.gpa = Gpa{at}, .into = into}};
    memory.read(batch);
    if (batch[0].done > into.size() || (batch[0].status == Errc::none) != (batch[0].done == 16))
      std::abort();
  }
}

inline void check(const PhysicalMemory& memory, Reads reads) {
  const auto map = memory.map();
  const MemoryRegion* last = nullptr;
  for (const MemoryRegion& region : map->regions) {
    if (region.size == 0 || page_offset(region.gpa) != 0 || region.size % kPageSize != 0)
      std::abort();
    if (region.end() < region.gpa || (last && region.gpa < last->end())) std::abort();
    check_reads(memory, region, reads);
    last = &region;
  }
}

inline int open_image(const std::uint8_t* data, std::size_t size, DumpFormat wanted,
                      Reads reads = Reads::always_work) {
  static const int fd = ::memfd_create("image", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size))
    return 0;
  const CoredumpParams params{.filepath = "/proc/self/fd/" + std::to_string(fd), .format = wanted};
  const InitOptions options;
  auto file = host::MappedFile::open(*params.filepath);
  if (!file) return 0;
  const coredump_connector::Source source{
      std::make_shared<const host::MappedFile>(*std::move(file)), params, options};
  const auto format = coredump_connector::choose(source);
  if (!format) return 0;
  const auto image = (*format)->open(source);
  if (image) check(*image->memory, reads);
  return 0;
}

}  // namespace microvmi::fuzz
