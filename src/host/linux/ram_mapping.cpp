// SPDX-License-Identifier: Apache-2.0
// Finds the file through /proc/PID/map_files, or else among the process's open files.
#include "host/linux/ram_mapping.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "host/linux/proc.hpp"

namespace microvmi::host {
namespace {

bool is_file_of(const Mapping& mapping, const struct stat& status) {
  return S_ISREG(status.st_mode) && status.st_ino == mapping.inode &&
         major(status.st_dev) == mapping.dev_major && minor(status.st_dev) == mapping.dev_minor;
}

// Looks before it opens: to open a device or a FIFO can have effects.
Descriptor open_if_same(const Process& process, const std::string& link, const Mapping& mapping) {
  struct stat status{};
  if (::fstatat(process.directory(), link.c_str(), &status, 0) != 0) return {};
  if (!is_file_of(mapping, status)) return {};
  Descriptor file(::openat(process.directory(), link.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file || ::fstat(file.get(), &status) != 0 || !is_file_of(mapping, status)) return {};
  return file;
}

// map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; fd needs no more than the memory does.
Descriptor open_file_of(const Process& process, const Mapping& mapping) {
  const std::string link = fmt::format("map_files/{:x}-{:x}", mapping.start, mapping.end);
  if (Descriptor file = open_if_same(process, link, mapping)) return file;
  const auto files = open_files_of(process.pid());
  if (!files) return {};
  for (const OpenFile& open : *files) {
    if (open.socket_inode() != 0) continue;
    if (Descriptor file = open_if_same(process, fmt::format("fd/{}", open.fd), mapping))
      return file;
  }
  return {};
}

// tmpfs, which memfd is too: a load from a hole allocates a page for good. Other filesystems map
// one page of zeros for all, or do not tell what lies in their page cache alone.
bool allocates_when_read(int file) {
  struct statfs status{};
  return ::fstatfs(file, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

}  // namespace

std::shared_ptr<const RamMapping> RamMapping::open(const Process& process, const Mapping& mapping) {
  if (!mapping.shared || !mapping.read || mapping.inode == 0) return nullptr;
  Descriptor file = open_file_of(process, mapping);
  if (!file) return nullptr;
  const std::size_t size = mapping.size();
  void* base =
      ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), static_cast<off_t>(mapping.offset));
  if (base == MAP_FAILED) return nullptr;
  // A guest does not belong into a core dump of the program that looks at it.
  ::madvise(base, size, MADV_DONTDUMP);
  if (!allocates_when_read(file.get())) file = {};
  return std::shared_ptr<const RamMapping>(
      new RamMapping(static_cast<const std::byte*>(base), mapping, std::move(file)));
}

Touched RamMapping::touched(const std::byte* from, std::uint64_t size) const {
  if (!sparse_ || size == 0) return {0, size};
  const off_t start = static_cast<off_t>(of_.offset) + (from - data_);
  const off_t end = start + static_cast<off_t>(size);
  // The offset that lseek moves is of nobody else and never used.
  const off_t data = ::lseek(sparse_.get(), start, SEEK_DATA);
  if (data < 0 && errno != ENXIO) return {0, size};
  if (data < 0 || data >= end) return {size, 0};
  const off_t hole = ::lseek(sparse_.get(), data, SEEK_HOLE);
  const off_t last = hole < 0 ? end : std::min(hole, end);
  return {static_cast<std::uint64_t>(data - start), static_cast<std::uint64_t>(last - data)};
}

RamMapping::~RamMapping() { ::munmap(const_cast<std::byte*>(data_), of_.size()); }

}  // namespace microvmi::host
