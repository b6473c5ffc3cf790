// SPDX-License-Identifier: Apache-2.0
// A file of the host's own folder for such things. It is there while somebody listens, and stays
// where that one was killed.
#include "driver/xen/native_claim.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace microvmi::xen::native {
namespace {

// What was locked is what the path means; else its owner removed it in between.
bool is_at(int file, const std::string& path) {
  struct stat mine{};
  struct stat there{};
  return ::fstat(file, &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
         mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

bool has_mark(int file) {
  struct stat status{};
  return ::fstat(file, &status) == 0 && status.st_size != 0;
}

}  // namespace

Expected<Claim> Claim::make(const std::string& path) {
  constexpr int kTries = 16;
  for (int i = 0; i < kTries; ++i) {
    host::Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return host::system_failure(errno, "cannot open " + path);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return host::system_failure(errno, "cannot lock " + path);
      return fail(Errc::busy, path + " is locked by another program", {},
                  "end the program that listens to this domain's events");
    }
    if (!is_at(file.get(), path)) continue;
    const bool left = has_mark(file.get());
    if (!left && ::write(file.get(), "ring\n", 5) != 5)
      return host::system_failure(errno, "cannot write " + path);
    return Claim(std::move(file), path, left);
  }
  return fail(Errc::busy, path + " changes all the time");
}

void Claim::give_up() {
  if (file_) ::unlink(path_.c_str());
  file_ = host::Descriptor();
}

}  // namespace microvmi::xen::native
