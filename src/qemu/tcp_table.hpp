// SPDX-License-Identifier: Apache-2.0
// /proc/net/tcp and tcp6: whose inode a connection has.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace microvmi::qemu {

// An address and a port in each way that the tables may write it: "0100007F:115C" and, for IPv4
// through an IPv6 socket, "0000000000000000FFFF00000100007F:115C".
using TcpKey = std::vector<std::string>;
[[nodiscard]] TcpKey tcp_key(const sockaddr_storage& address);

// The inode of the socket with these two ends; nullopt where the table has none.
[[nodiscard]] std::optional<std::uint64_t> find_tcp(std::string_view table, const TcpKey& local,
                                                    const TcpKey& remote);

// The inodes of the connections that stand at a local port.
[[nodiscard]] std::vector<std::uint64_t> established_at(std::string_view table, std::uint16_t port);

}  // namespace microvmi::qemu
