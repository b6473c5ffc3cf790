// SPDX-License-Identifier: Apache-2.0
// MappedFile over mmap.
#include "host/linux/mapped_file.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "host/linux/descriptor.hpp"
#include "host/linux/guarded_copy.hpp"
#include "microvmi/address.hpp"

namespace microvmi::host {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  return "no regular file";
}

Expected<std::uint64_t> size_of(int fd, const struct stat& status, const std::string& name) {
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t size = 0;
  if (::ioctl(fd, BLKGETSIZE64, &size) != 0) return system_failure(errno, "cannot size " + name);
  return size;
}

}  // namespace

Expected<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const std::string& name = path.native();
  // NONBLOCK: opening a FIFO without a writer must not wait for one.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  // A socket cannot be opened at all (ENXIO), so that its kind is asked of the path.
  struct stat status{};
  if (!file && errno == ENXIO && ::stat(path.c_str(), &status) == 0)
    return fail(Errc::invalid_argument, name + " is " + kind_of(status.st_mode));
  if (!file) return system_failure(errno, "cannot open " + name);
  if (::fstat(file.get(), &status) != 0) return system_failure(errno, "cannot stat " + name);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    return fail(Errc::invalid_argument, name + " is " + kind_of(status.st_mode), {},
                "name a regular file");
  const auto size = size_of(file.get(), status, name);
  if (!size) return std::unexpected(size.error());
  if (*size == 0) return fail(Errc::invalid_argument, name + " is empty");
  if (*size > std::numeric_limits<std::size_t>::max() / 2)
    return fail(Errc::invalid_argument, name + " is too big to map");
  void* base = ::mmap(nullptr, *size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (base == MAP_FAILED) return system_failure(errno, "cannot map " + name);
  install_copy_guard();
  return MappedFile({static_cast<const std::byte*>(base), *size},
                    S_ISREG(status.st_mode) ? std::move(file) : Descriptor());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), file_(std::move(other.file_)) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

std::size_t MappedFile::copy(std::size_t offset, std::span<std::byte> into) const {
  if (offset >= bytes_.size()) return 0;
  const std::size_t size = std::min(into.size(), bytes_.size() - offset);
  if (size == 0) return 0;
  const std::size_t done = guarded_copy(into.data(), bytes_.data() + offset, size);
  // A copy over a new end stops at its page, or ends in the zeros that follow it there.
  if (done == size && into[size - 1] != std::byte{}) return size;
  return still_there(offset, done);
}

// Asking for the size costs more than copying a page. As long as the last page can be touched the
// file cannot have been cut before it.
std::size_t MappedFile::still_there(std::size_t offset, std::size_t size) const {
  const std::size_t last_page = (bytes_.size() - 1) & ~(kPageSize - 1);
  std::byte probe{};
  if (!file_ || (offset + size <= last_page &&
                 guarded_copy(&probe, bytes_.data() + bytes_.size() - 1, 1) == 1))
    return size;
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return 0;
  const auto now = static_cast<std::size_t>(status.st_size);
  return now <= offset ? 0 : std::min(size, now - offset);
}

}  // namespace microvmi::host
