// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of a unix socket, asked for by its inode: sock_diag(7).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/linux/descriptor.hpp"
#include "microvmi/error.hpp"

namespace microvmi::qemu {

struct UnixSocket {
  bool listening = false;
  std::string name{};                    // as it was bound, an abstract one with its NUL
  std::uint32_t peer = 0;                // the inode of the other end; 0 before it was accepted
  std::vector<std::uint32_t> waiting{};  // clients in the queue of a listener
};

class UnixDiag {
 public:
  [[nodiscard]] static Expected<UnixDiag> open();

  // Errc::not_found for an inode that is no unix socket of this network namespace.
  [[nodiscard]] Expected<UnixSocket> ask(std::uint32_t inode) const;

 private:
  explicit UnixDiag(host::Descriptor fd) : fd_(std::move(fd)) {}

  host::Descriptor fd_;
};

}  // namespace microvmi::qemu
