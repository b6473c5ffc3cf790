// SPDX-License-Identifier: Apache-2.0
// PartialFile over open, pwrite, fsync and rename.
#include "dump/native.hpp"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is not in <csignal>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "microvmi/address.hpp"

namespace microvmi::dumper {
namespace {

constexpr std::uint64_t kFlushEvery = 32 << 20;  // so that the sync at the end is short

std::error_code last_error() { return {errno, std::generic_category()}; }

Errc code_of(std::error_code why) {
  if (why == std::errc::permission_denied || why == std::errc::operation_not_permitted ||
      why == std::errc::read_only_file_system)
    return Errc::permission_denied;
  if (why == std::errc::no_such_file_or_directory || why == std::errc::not_a_directory)
    return Errc::not_found;
  return Errc::io;
}

const char* hint_for(std::error_code why) {
  if (why == std::errc::no_space_on_device || why.value() == EDQUOT)
    return "free some room, or dump to another file system; the partial file can be deleted";
  if (why == std::errc::file_too_large)
    return "raise the file size limit (ulimit -f), or dump to another file system";
  return "";
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::string quoted(const std::filesystem::path& path) { return "'" + path.string() + "'"; }

Expected<void> check_is_replaceable(const std::filesystem::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    const std::error_code why = last_error();
    return fail(code_of(why), "cannot dump to " + quoted(path) + ": " + why.message());
  }
  if (S_ISREG(status.st_mode)) return {};
  return fail(Errc::invalid_argument,
              "cannot dump to " + quoted(path) + ", which is " + kind_of(status.st_mode), {},
              "name a file that does not exist yet, or a regular one to be replaced");
}

// Removes what an earlier try left behind. It is removed rather than written over, so that a
// program that has it open, or another name of it, keeps what it has.
Expected<void> remove_left_over(const std::filesystem::path& path) {
  const auto refuse = [&path](Errc code, const std::string& why) {
    return fail(code, quoted(path) + " is in the way: " + why, {},
                "remove it or dump to another name");
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return {};
  if (fd < 0) return refuse(Errc::invalid_argument, last_error().message());
  struct stat status{};
  const bool known = ::fstat(fd, &status) == 0;
  const bool is_free = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  ::close(fd);
  if (!known || !S_ISREG(status.st_mode))
    return refuse(Errc::invalid_argument, std::string("it is ") + kind_of(status.st_mode));
  if (status.st_uid != ::geteuid()) return refuse(Errc::permission_denied, "another user owns it");
  if (!is_free) return refuse(Errc::busy, "another dump is writing it");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return refuse(code_of(last_error()), last_error().message());
  return {};
}

// The new name, on the disk. The dump is whole under one of its names in any case, so that a
// directory which may not be opened is no failure.
void sync_directory(const std::filesystem::path& directory) {
  const char* const name = directory.empty() ? "." : directory.c_str();
  const int fd = ::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

Expected<PartialFile> PartialFile::create(const std::filesystem::path& file) {
  if (!file.has_filename())
    return fail(Errc::invalid_argument, "cannot dump to " + quoted(file) + ", which names no file");
  std::filesystem::path path = file;
  path += ".partial";
  if (auto done = check_is_replaceable(file); !done) return std::unexpected(done.error());
  if (auto done = remove_left_over(path); !done) return std::unexpected(done.error());
  // For its owner alone: a guest's memory holds its secrets.
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    const std::error_code why = last_error();
    return fail(code_of(why), "cannot create " + quoted(path) + ": " + why.message());
  }
  ::flock(fd,
          LOCK_EX | LOCK_NB);  // tells a second dump; a file system without locks is no obstacle
  return PartialFile(fd, std::move(path), file);
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      unflushed_(other.unflushed_) {}

PartialFile::~PartialFile() {
  if (fd_ >= 0) ::close(fd_);
}

Error PartialFile::failed(const std::string& what, std::error_code why) const {
  return {.code = code_of(why),
          .message = "cannot " + what + " " + quoted(path_) + ": " + why.message(),
          .hint = hint_for(why)};
}

std::error_code PartialFile::write(std::span<const std::byte> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return last_error();
    if (done == 0) return {EIO, std::generic_category()};
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
    unflushed_ += static_cast<std::uint64_t>(done);
  }
  if (unflushed_ < kFlushEvery) return {};
  unflushed_ = 0;
  ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);  // only a beginning; commit() tells errors
  return {};
}

bool PartialFile::has_its_name() const {
  struct stat ours{};
  struct stat named{};
  return ::fstat(fd_, &ours) == 0 && ::lstat(path_.c_str(), &named) == 0 &&
         ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

Expected<void> PartialFile::commit(std::uint64_t size, bool sync) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0)
    return std::unexpected(failed("set the size of", last_error()));
  if (sync && ::fsync(fd_) != 0) return std::unexpected(failed("sync", last_error()));
  if (!has_its_name())
    return fail(Errc::io, quoted(path_) + " was moved or replaced while it was written");
  if (auto done = check_is_replaceable(file_); !done) return done;
  if (::rename(path_.c_str(), file_.c_str()) != 0)
    return std::unexpected(failed("rename", last_error()));
  if (sync) sync_directory(file_.parent_path());
  return {};
}

void bring_in(std::span<const std::byte> view) {
  const std::size_t before = reinterpret_cast<std::uintptr_t>(view.data()) % kPageSize;
  auto* const first = const_cast<std::byte*>(view.data()) - before;
  // Linux 5.14 and later; older ones refuse, and nothing is lost.
  ::madvise(first, before + view.size(), MADV_POPULATE_READ);
}

NoFileSizeSignal::NoFileSizeSignal() {
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGXFSZ);
  was_blocked_ =
      ::pthread_sigmask(SIG_BLOCK, &wanted, &before) != 0 || sigismember(&before, SIGXFSZ) == 1;
}

NoFileSizeSignal::~NoFileSizeSignal() {
  if (was_blocked_) return;
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGXFSZ);
  const timespec now{};
  while (::sigtimedwait(&wanted, nullptr, &now) == SIGXFSZ) continue;  // that of our own write
  ::pthread_sigmask(SIG_UNBLOCK, &wanted, nullptr);
}

}  // namespace microvmi::dumper
