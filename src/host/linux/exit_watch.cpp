// SPDX-License-Identifier: Apache-2.0
// ExitWatch over perf_event_open(2): a dummy event with task records.
#include "host/linux/exit_watch.hpp"

#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace microvmi::host {
namespace {

constexpr std::size_t kPage = 4096;
// PERF_RECORD_FORK and PERF_RECORD_EXIT alone are written, without sample_id: header, pid, ppid,
// tid, ptid, time.
constexpr std::uint64_t kRecordSize = 32;
static_assert(kPage % kRecordSize == 0);

int open_event(std::uint32_t pid) {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_DUMMY;
  attr.task = 1;
  attr.exclude_kernel = 1;  // so that perf_event_paranoid 2, the usual one, allows it
  attr.exclude_hv = 1;
  return static_cast<int>(::syscall(SYS_perf_event_open, &attr, static_cast<pid_t>(pid), -1, -1,
                                    static_cast<unsigned long>(PERF_FLAG_FD_CLOEXEC)));
}

}  // namespace

std::unique_ptr<ExitWatch> ExitWatch::open(std::uint32_t pid) {
  if (::sysconf(_SC_PAGESIZE) != static_cast<long>(kPage)) return nullptr;
  Descriptor event(open_event(pid));
  if (!event) return nullptr;
  // Not writable: the kernel goes round and round and never waits for us.
  void* pages = ::mmap(nullptr, 2 * kPage, PROT_READ, MAP_SHARED, event.get(), 0);
  if (pages == MAP_FAILED) return nullptr;
  return std::unique_ptr<ExitWatch>(new ExitWatch(std::move(event), pages));
}

ExitWatch::ExitWatch(Descriptor event, void* pages)
    : event_(std::move(event)),
      pages_(pages),
      head_(reinterpret_cast<const std::uint64_t*>(static_cast<const std::byte*>(pages) +
                                                   offsetof(perf_event_mmap_page, data_head))),
      records_(static_cast<const std::byte*>(pages) + kPage) {}

ExitWatch::~ExitWatch() { ::munmap(pages_, 2 * kPage); }

// Stays false for good once something else was found, as seen_ no longer moves.
bool ExitWatch::only_forks_until(std::uint64_t head) const {
  std::uint64_t at = seen_.load(std::memory_order_relaxed);
  if (head - at > kPage || head % kRecordSize != 0) return false;
  for (; at != head; at += kRecordSize) {
    perf_event_header header{};
    std::memcpy(&header, records_ + at % kPage, sizeof header);
    if (header.type != PERF_RECORD_FORK || header.size != kRecordSize) return false;
  }
  seen_.store(head, std::memory_order_relaxed);
  return true;
}

}  // namespace microvmi::host
