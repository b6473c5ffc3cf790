// SPDX-License-Identifier: Apache-2.0
// /proc/PID/pagemap in its two forms: words of 64 bits, and PAGEMAP_SCAN.
#include "host/linux/write_watch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "microvmi/address.hpp"

namespace microvmi::host {
namespace {

constexpr std::uint64_t kSoftDirty = std::uint64_t{1} << 55U;  // Documentation/admin-guide/mm

// linux/fs.h of 6.7 and linux/userfaultfd.h of 6.7, which older headers lack.
struct ScanArgument {
  std::uint64_t size = sizeof(ScanArgument);
  std::uint64_t flags = 0;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t walk_end = 0;
  std::uint64_t vec = 0;
  std::uint64_t vec_len = 0;
  std::uint64_t max_pages = 0;
  std::uint64_t category_inverted = 0;
  std::uint64_t category_mask = 0;
  std::uint64_t category_anyof_mask = 0;
  std::uint64_t return_mask = 0;
};
static_assert(sizeof(ScanArgument) == 96);
struct ScanRegion {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t categories = 0;
};
constexpr unsigned long kScan = _IOWR('f', 16, ScanArgument);
constexpr std::uint64_t kProtectMatching = 1;    // PM_SCAN_WP_MATCHING
constexpr std::uint64_t kCheckProtection = 2;    // PM_SCAN_CHECK_WPASYNC
constexpr std::uint64_t kWritten = 1U << 1U;     // PAGE_IS_WRITTEN
constexpr std::uint64_t kFeatures = 1U << 0U |   // UFFD_FEATURE_PAGEFAULT_FLAG_WP
                                    1U << 12U |  // UFFD_FEATURE_WP_HUGETLBFS_SHMEM
                                    1U << 13U |  // UFFD_FEATURE_WP_UNPOPULATED
                                    1U << 15U;   // UFFD_FEATURE_WP_ASYNC

void append(std::vector<HvaRange>& to, HvaRange range) {
  if (!to.empty() && to.back().end == range.start)
    to.back().end = range.end;
  else
    to.push_back(range);
}

Expected<Descriptor> open_pagemap(const Process& process) {
  Descriptor out(::openat(process.directory(), "pagemap", O_RDONLY | O_CLOEXEC));
  if (!out)
    return system_failure(errno,
                          fmt::format("cannot open the pagemap of process {}", process.pid()));
  return out;
}

class SoftDirtyWatch final : public WriteWatch {
 public:
  SoftDirtyWatch(const Process& process, Descriptor pagemap)
      : process_(process), pagemap_(std::move(pagemap)) {}

  Expected<std::vector<HvaRange>> take(std::span<const HvaRange> of) override {
    std::vector<HvaRange> out;
    for (const HvaRange& one : of)
      if (auto looked = look(one, out); !looked) return std::unexpected(looked.error());
    if (!process_.alive()) return std::unexpected(process_.gone());
    return out;
  }
  const char* name() const override { return "soft-dirty"; }

 private:
  Expected<void> look(HvaRange range, std::vector<HvaRange>& out) const {
    std::array<std::uint64_t, 4096> words;
    for (std::uint64_t at = range.start; at < range.end;) {
      const std::uint64_t pages =
          std::min<std::uint64_t>(words.size(), (range.end - at) / kPageSize);
      const std::size_t size = pages * sizeof(std::uint64_t);
      const auto offset = static_cast<off_t>(at / kPageSize * sizeof(std::uint64_t));
      if (::pread(pagemap_.get(), words.data(), size, offset) != static_cast<ssize_t>(size))
        return system_failure(errno,
                              fmt::format("cannot read the pagemap of process {}", process_.pid()));
      for (std::uint64_t i = 0; i < pages; ++i)
        if ((words[i] & kSoftDirty) != 0)
          append(out, {at + i * kPageSize, at + (i + 1) * kPageSize});
      at += pages * kPageSize;
    }
    return {};
  }

  const Process& process_;
  Descriptor pagemap_;
};

class ProtectionWatch final : public WriteWatch {
 public:
  ProtectionWatch(const Process& process, Descriptor pagemap, Descriptor userfaultfd)
      : process_(process), pagemap_(std::move(pagemap)), userfaultfd_(std::move(userfaultfd)) {}

  Expected<void> begin() {
    uffdio_api api{.api = UFFD_API, .features = kFeatures, .ioctls = 0};
    if (::ioctl(userfaultfd_.get(), UFFDIO_API, &api) == 0) return {};
    return fail(Errc::not_supported,
                "this kernel cannot tell written pages: it has neither soft-dirty bits nor "
                "asynchronous write protection (UFFD_FEATURE_WP_ASYNC)",
                {}, "Linux 6.7 has the latter");
  }

  Expected<std::vector<HvaRange>> take(std::span<const HvaRange> of) override {
    std::vector<HvaRange> out;
    for (const HvaRange& one : of) {
      const std::size_t before = out.size();
      auto scanned = scan(one, out);
      if (!scanned && scanned.error().code == Errc::permission_denied) {
        // Not, or not all of it, protected: mapped since.
        out.resize(before);
        if (auto done = protect(one); !done) return std::unexpected(done.error());
        scanned = scan(one, out);
        out.resize(std::min(before, out.size()));
        out.push_back(one);
      }
      if (!scanned) return std::unexpected(scanned.error());
    }
    if (!process_.alive()) return std::unexpected(process_.gone());
    return out;
  }
  const char* name() const override { return "userfaultfd"; }

 private:
  Expected<void> protect(HvaRange range) const {
    uffdio_register wanted{.range = {.start = range.start, .len = range.end - range.start},
                           .mode = UFFDIO_REGISTER_MODE_WP,
                           .ioctls = 0};
    if (::ioctl(userfaultfd_.get(), UFFDIO_REGISTER, &wanted) == 0) return {};
    if (!process_.alive()) return std::unexpected(process_.gone());
    if (errno == EBUSY)
      return fail(Errc::busy, fmt::format("process {} or another program tracks this memory itself",
                                          process_.pid()));
    return system_failure(errno, fmt::format("cannot track memory of process {}", process_.pid()));
  }

  // permission_denied: not all of the range is protected.
  Expected<void> scan(HvaRange range, std::vector<HvaRange>& out) const {
    std::array<ScanRegion, 512> found;
    ScanArgument argument{.flags = kProtectMatching | kCheckProtection,
                          .start = range.start,
                          .end = range.end,
                          .vec = reinterpret_cast<std::uint64_t>(found.data()),
                          .vec_len = found.size(),
                          .category_mask = kWritten,
                          .return_mask = kWritten};
    while (argument.start < range.end) {
      const int count = ::ioctl(pagemap_.get(), kScan, &argument);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EPERM)
        return fail(Errc::permission_denied, "memory that is not tracked");
      if (count < 0)
        return system_failure(
            errno, fmt::format("cannot look for written pages of process {}", process_.pid()));
      for (const ScanRegion& one : std::span(found).first(static_cast<std::size_t>(count)))
        append(out, {one.start, one.end});
      if (argument.walk_end <= argument.start) break;
      argument.start = argument.walk_end;
    }
    return {};
  }

  const Process& process_;
  Descriptor pagemap_;
  Descriptor userfaultfd_;
};

}  // namespace

// The pages of a new mapping are soft-dirty where there is such a bit.
bool has_soft_dirty() {
  void* const page =
      ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  *static_cast<volatile char*>(page) = 1;
  std::uint64_t word = 0;
  const Descriptor pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  const auto at =
      static_cast<off_t>(reinterpret_cast<std::uint64_t>(page) / kPageSize * sizeof word);
  const bool read = pagemap && ::pread(pagemap.get(), &word, sizeof word, at) == sizeof word;
  ::munmap(page, kPageSize);
  return read && (word & kSoftDirty) != 0;
}

bool has_write_protection() {
  const Descriptor own(
      static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)));
  uffdio_api api{.api = UFFD_API, .features = kFeatures, .ioctls = 0};
  return own && ::ioctl(own.get(), UFFDIO_API, &api) == 0;
}

Expected<std::unique_ptr<WriteWatch>> watch_soft_dirty(const Process& process) {
  auto pagemap = open_pagemap(process);
  if (!pagemap) return std::unexpected(pagemap.error());
  const Descriptor clear(::openat(process.directory(), "clear_refs", O_WRONLY | O_CLOEXEC));
  if (!clear || ::write(clear.get(), "4", 1) != 1)
    return system_failure(
        errno, fmt::format("cannot clear the soft-dirty bits of process {}", process.pid()));
  return std::make_unique<SoftDirtyWatch>(process, *std::move(pagemap));
}

Expected<std::unique_ptr<WriteWatch>> watch_by_userfaultfd(const Process& process,
                                                           Descriptor userfaultfd,
                                                           std::span<const HvaRange> first) {
  auto pagemap = open_pagemap(process);
  if (!pagemap) return std::unexpected(pagemap.error());
  auto watch =
      std::make_unique<ProtectionWatch>(process, *std::move(pagemap), std::move(userfaultfd));
  if (auto begun = watch->begin(); !begun) return std::unexpected(begun.error());
  if (auto all = watch->take(first); !all) return std::unexpected(all.error());
  return watch;
}

}  // namespace microvmi::host
