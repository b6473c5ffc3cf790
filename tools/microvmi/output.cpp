// SPDX-License-Identifier: Apache-2.0
// Buffered writes to descriptor 1 that a signal can end.
#include "output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::size_t kBuffer = 64UL * 1024;

Outcome failed_with(int error) {
  if (error == EPIPE) return std::unexpected(Failure{kOk, ""});
  return failed(std::string("cannot write to standard output: ") + std::strerror(error));
}

}  // namespace

Outcome Output::pass_on(std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
    if (done >= 0) {
      text.remove_prefix(static_cast<std::size_t>(done));
    } else if (errno != EINTR) {
      return failed_with(errno);
    } else if (stop_.stop_requested()) {
      return failed("interrupted");
    }
  }
  return {};
}

Outcome Output::flush() {
  const Outcome done = pass_on(buffer_);
  buffer_.clear();
  return done;
}

Outcome Output::write(std::string_view text) {
  if (buffer_.size() + text.size() > kBuffer)
    if (auto done = flush(); !done) return done;
  if (text.size() > kBuffer) return pass_on(text);
  buffer_ += text;
  return {};
}

Outcome Output::write(std::span<const std::byte> bytes) {
  return write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Outcome Output::finish() {
  if (auto done = flush(); !done) return done;
  return ::close(STDOUT_FILENO) == 0 || errno == EINTR || errno == EBADF ? Outcome{}
                                                                         : failed_with(errno);
}

// What is closed is opened the wrong way round, so that using it stays an error.
void note(std::string_view text) {
  const std::string line = "microvmi: " + printable(text) + '\n';
  static_cast<void>(::write(STDERR_FILENO, line.data(), line.size()) > 0);
}

void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) == -1)
      static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

}  // namespace microvmi::tool
