// SPDX-License-Identifier: Apache-2.0
// read_text_file over open and read.
#include "init/native.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace microvmi {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::unexpected<Error> failed(const char* step, const std::filesystem::path& path, int error) {
  Errc code = Errc::io;
  std::string hint;
  if (error == ENOENT || error == ENOTDIR) code = Errc::not_found;
  if (error == EACCES || error == EPERM) {
    code = Errc::permission_denied;
    hint = "make it readable for this user";
  }
  return fail(code, std::string(step) + ' ' + path.string() + ": " + std::strerror(error), {},
              hint);
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

Expected<std::string> read_text_file(const std::filesystem::path& path, std::size_t limit) {
  // O_NONBLOCK: a FIFO without a writer would hold us in open() for ever.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return failed("cannot open", path, errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return failed("cannot look at", path, errno);
  if (!S_ISREG(status.st_mode))
    return fail(Errc::invalid_argument,
                path.string() + " is " + kind_of(status.st_mode) + ", not a file");
  // One more than the limit, so that a file which grows meanwhile is noticed too.
  std::string text(limit + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("cannot read", path, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > limit)
    return fail(Errc::invalid_argument,
                path.string() + " is larger than " + std::to_string(limit) + " bytes");
  text.resize(size);
  return text;
}

}  // namespace microvmi
