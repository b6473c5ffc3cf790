// SPDX-License-Identifier: Apache-2.0
// process_vm_readv/writev for what is long or many, pread/pwrite of /proc/PID/mem for the rest.
#include "host/linux/transfer.hpp"

#include <unistd.h>

#include <cerrno>

namespace microvmi::host {
namespace {

// Up to here one pread of /proc/PID/mem is cheaper than one process_vm_readv: it needs no list of
// pages, but copies through a page of the kernel's own. Measured by bench/.
constexpr std::size_t kFileLimit = 4096;

iovec buffer_of(const ReadRequest& r, std::size_t offset, std::size_t size) {
  return {r.into.data() + offset, size};
}
iovec buffer_of(const WriteRequest& r, std::size_t offset, std::size_t size) {
  return {const_cast<std::byte*>(r.from.data()) + offset, size};  // only ever read from
}

struct Reads {
  static ssize_t file(int fd, iovec local, std::uint64_t hva) {
    return ::pread(fd, local.iov_base, local.iov_len, static_cast<off_t>(hva));
  }
  static ssize_t by_pid(pid_t pid, std::span<const iovec> local, const iovec* remote) {
    return ::process_vm_readv(pid, local.data(), local.size(), remote, local.size(), 0);
  }
};
struct Writes {
  static ssize_t file(int fd, iovec local, std::uint64_t hva) {
    return ::pwrite(fd, local.iov_base, local.iov_len, static_cast<off_t>(hva));
  }
  static ssize_t by_pid(pid_t pid, std::span<const iovec> local, const iovec* remote) {
    return ::process_vm_writev(pid, local.data(), local.size(), remote, local.size(), 0);
  }
};
template <class Request>
using CallsOf = std::conditional_t<std::is_same_v<Request, ReadRequest>, Reads, Writes>;

bool is_refused(int error) { return error == EPERM || error == EACCES || error == ENOSYS; }

Errc status_of(int error) {
  if (error == EFAULT) return Errc::hole;
  if (error == ESRCH) return Errc::disconnected;
  return is_refused(error) ? Errc::permission_denied : Errc::io;
}

iovec behind(iovec part, std::size_t done) {
  return {static_cast<std::byte*>(part.iov_base) + done, part.iov_len - done};
}

}  // namespace

template <class Request>
void Transfer<Request>::add(std::size_t index, std::size_t offset, std::uint64_t hva,
                            std::size_t size) {
  if (count_ == kParts) flush();
  local_[count_] = buffer_of(batch_[index], offset, size);
  remote_[count_] = {reinterpret_cast<void*>(hva), size};
  owner_[count_] = index;
  ++count_;
}

template <class Request>
void Transfer<Request>::settle(std::size_t part, Moved moved) {
  Request& request = batch_[owner_[part]];
  request.done += moved.done;
  if (moved.done == local_[part].iov_len) return;
  request.status = status_of(moved.error);
  request.failed_at = request.gpa + request.done;
  faulted_ = faulted_ || request.status == Errc::hole;
  failed_ = owner_[part];
}

// Until all is moved or nothing moves any more, so that the end is known to the byte.
template <class Request>
typename Transfer<Request>::Moved Transfer<Request>::move_one(iovec local, iovec remote) {
  Moved out;
  while (out.done < local.iov_len) {
    const iovec to = behind(local, out.done);
    const iovec from = behind(remote, out.done);
    const bool pid = to.iov_len > kFileLimit && calls_.by_pid.load(std::memory_order_relaxed);
    const ssize_t got =
        pid ? CallsOf<Request>::by_pid(static_cast<pid_t>(process_.pid()), {&to, 1}, &from)
            : CallsOf<Request>::file(process_.memory(), to,
                                     reinterpret_cast<std::uint64_t>(from.iov_base));
    used_pid_ = used_pid_ || pid;
    if (got > 0) {
      out.done += static_cast<std::size_t>(got);
    } else if (got < 0 && pid && is_refused(errno)) {
      calls_.by_pid.store(false, std::memory_order_relaxed);
    } else if (got == 0 || errno != EINTR) {
      // The file gives 0 bytes when the address space is gone, and EIO where nothing is mapped.
      out.error = got == 0 ? ESRCH : errno == EIO ? EFAULT : errno;
      break;
    }
  }
  return out;
}

// Takes what one call moved, from `part` on; the first part that is not yet settled.
template <class Request>
std::size_t Transfer<Request>::take_moved(std::size_t part, std::size_t bytes) {
  for (; part < count_ && bytes >= local_[part].iov_len; ++part) {
    bytes -= local_[part].iov_len;
    if (owner_[part] != failed_) settle(part, {.done = local_[part].iov_len});
  }
  if (bytes == 0) return part;
  Moved rest = move_one(behind(local_[part], bytes), behind(remote_[part], bytes));
  rest.done += bytes;
  if (owner_[part] != failed_) settle(part, rest);
  return part + 1;
}

template <class Request>
void Transfer<Request>::flush() {
  std::size_t part = 0;
  while (part < count_) {
    const std::span<const iovec> local(local_.data() + part, count_ - part);
    const bool pid = local.size() > 1 && calls_.by_pid.load(std::memory_order_relaxed);
    if (owner_[part] == failed_) {
      ++part;
    } else if (!pid) {
      settle(part, move_one(local_[part], remote_[part]));
      ++part;
    } else {
      used_pid_ = true;
      const ssize_t got = CallsOf<Request>::by_pid(static_cast<pid_t>(process_.pid()), local,
                                                   remote_.data() + part);
      if (got > 0) {
        part = take_moved(part, static_cast<std::size_t>(got));
      } else {  // the first part is at fault: alone, it says how far it goes and why
        settle(part, move_one(local_[part], remote_[part]));
        ++part;
      }
    }
  }
  count_ = 0;
}

template class Transfer<ReadRequest>;
template class Transfer<WriteRequest>;

}  // namespace microvmi::host
