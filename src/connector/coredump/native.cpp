// SPDX-License-Identifier: Apache-2.0
// MappedFile over mmap.
#include "connector/coredump/native.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace microvmi::coredump_connector {

Expected<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const auto failed = [&path](const char* step) {
    return fail(Errc::not_found,
                std::string(step) + " " + path.string() + ": " + std::strerror(errno));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed("cannot open");
  struct stat status{};
  const bool known = ::fstat(fd, &status) == 0;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* base =
      known && size != 0 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  const int saved = errno;
  ::close(fd);
  errno = size == 0 && known ? ENODATA : saved;
  if (base == MAP_FAILED) return failed("cannot map");
  return MappedFile({static_cast<const std::byte*>(base), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace microvmi::coredump_connector
