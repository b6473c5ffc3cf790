// SPDX-License-Identifier: Apache-2.0
// Bounded reads of small files, and errno as an Error.
#include "host/linux/descriptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace microvmi::host {
namespace {

Errc code_of(int error) {
  switch (error) {
    case ENOENT:
    case ESRCH:
    case ENOTDIR:
      return Errc::not_found;
    case EACCES:
    case EPERM:
      return Errc::permission_denied;
    case EINVAL:
    case ENAMETOOLONG:
      return Errc::invalid_argument;
    default:
      return Errc::io;
  }
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

std::unexpected<Error> system_failure(int error, const std::string& what) {
  return fail(code_of(error), fmt::format("{}: {}", what, std::strerror(error)));
}

Expected<std::string> read_text(const std::string& path, std::size_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_failure(errno, "cannot open " + path);
  // Files of /proc have no size, most are tiny, and a read gives a page at a time.
  constexpr std::size_t kLeast = 4096;
  std::string text;
  std::size_t used = 0;
  for (;;) {
    if (text.size() - used < kLeast)
      text.resize(std::min(std::max(2 * text.size(), kLeast), limit + 1));
    const ssize_t got = ::read(file.get(), text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure(errno, "cannot read " + path);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > limit)
      return fail(Errc::protocol, fmt::format("{} is longer than {} bytes", path, limit));
  }
  text.resize(used);
  return text;
}

Expected<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) return system_failure(errno, "cannot read the link " + path);
  return std::string(target.data(), static_cast<std::size_t>(size));
}

}  // namespace microvmi::host
