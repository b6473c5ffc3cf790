// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a monitor's socket.
//
// SO_PEERCRED alone does not say: it gives the process that called listen(). That is QEMU where
// QEMU made the socket, but libvirt's daemon where QEMU was handed one, and a path may by now
// belong to somebody else. So either that process is the QEMU, or the accepted end of this very
// connection (its inode, from sock_diag(7) or, for TCP, /proc/PID/net/tcp) must be among the
// descriptors of the QEMU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "microvmi/error.hpp"
#include "qemu/qmp.hpp"

namespace microvmi::qemu {

// `connection` must have been accepted, as it has when the greeting came.
[[nodiscard]] Expected<void> check_peer(int connection, const Monitor& monitor);

struct Holder {
  std::uint32_t pid = 0;
  std::string comm{};
};

// Who uses the monitor that `connection` waits for; nullopt where that cannot be seen. It looks
// at the descriptors of every process.
[[nodiscard]] std::optional<Holder> holder_of(int connection, const Monitor& monitor);

// Who is connected to a socket on which that QEMU listens, seen without a connection of our own;
// nullopt where nobody is. A user that cannot be named has pid 0.
[[nodiscard]] std::optional<Holder> user_of(const Monitor& monitor);

}  // namespace microvmi::qemu
