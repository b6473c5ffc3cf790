// SPDX-License-Identifier: Apache-2.0
// Transfer: the parts of a batch that are copied by system calls, gathered into few of them.
#pragma once

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host/linux/process.hpp"
#include "microvmi/memory.hpp"

namespace microvmi::host {

// How Transfer moves bytes; kept across batches.
struct Calls {
  // False once the system refused process_vm_readv: containers do, while /proc/PID/mem works.
  std::atomic<bool> by_pid{true};
};

template <class Request>
class Transfer {
 public:
  Transfer(const Process& process, Calls& calls, std::span<Request> batch)
      : process_(process), calls_(calls), batch_(batch) {}

  // Bytes of request `index` that follow all of its earlier parts. They are moved now or by
  // flush(), which puts done, status and failed_at right.
  void add(std::size_t index, std::size_t offset, std::uint64_t hva, std::size_t size);
  void flush();

  // Whether a part of this request still waits.
  [[nodiscard]] bool waits(std::size_t index) const {
    return count_ != 0 && owner_[count_ - 1] == index;
  }

  // Some bytes were not there although the layout has them.
  [[nodiscard]] bool faulted() const { return faulted_; }
  // Something was moved by pid alone, so that only a process alive afterwards vouches for it.
  [[nodiscard]] bool used_pid() const { return used_pid_; }

 private:
  struct Moved {
    std::size_t done = 0;
    int error = 0;
  };

  // The limit of one call is IOV_MAX, 1024; a quarter of it costs as little and is less stack.
  static constexpr std::size_t kParts = 256;

  void settle(std::size_t part, Moved moved);
  Moved move_one(iovec local, iovec remote);
  std::size_t take_moved(std::size_t part, std::size_t bytes);

  const Process& process_;
  Calls& calls_;
  std::span<Request> batch_;
  std::size_t count_ = 0;
  std::size_t failed_ = ~std::size_t{0};  // the request whose later parts no longer matter
  bool faulted_ = false;
  bool used_pid_ = false;
  std::array<iovec, kParts> local_;
  std::array<iovec, kParts> remote_;
  std::array<std::size_t, kParts> owner_;
};

extern template class Transfer<ReadRequest>;
extern template class Transfer<WriteRequest>;

}  // namespace microvmi::host
