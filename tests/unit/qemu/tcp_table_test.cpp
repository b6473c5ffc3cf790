// SPDX-License-Identifier: Apache-2.0
// Lines of /proc/net/tcp and tcp6 as Linux 6.1 writes them on x86.
#include "qemu/tcp_table.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace microvmi::qemu {
namespace {

constexpr const char* kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "11111 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:115C 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 "
    "22222 1 0000000000000000 20 4 30 10 -1\n"
    "   2: 0100007F:C350 0100007F:115C 01 00000000:00000000 00:00000000 00000000     0        0 "
    "33333 1 0000000000000000 20 4 30 10 -1\n";

TcpKey v4(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(::inet_pton(AF_INET, host, &address.sin_addr), 1);
  sockaddr_storage out{};
  std::memcpy(&out, &address, sizeof(address));
  return tcp_key(out);
}

TcpKey v6(const char* host, std::uint16_t port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  EXPECT_EQ(::inet_pton(AF_INET6, host, &address.sin6_addr), 1);
  sockaddr_storage out{};
  std::memcpy(&out, &address, sizeof(address));
  return tcp_key(out);
}

TEST(TcpTableTest, BothEndsAndTheirOrderCount) {
  const auto monitor = v4("127.0.0.1", 4444);
  const auto client = v4("127.0.0.1", 50000);
  EXPECT_EQ(find_tcp(kTable, monitor, client), 22222U);
  EXPECT_EQ(find_tcp(kTable, client, monitor), 33333U);
  EXPECT_EQ(find_tcp(kTable, monitor, v4("127.0.0.1", 50001)), std::nullopt);
  EXPECT_EQ(find_tcp(kTable, v4("127.0.0.2", 4444), client), std::nullopt);
}

TEST(TcpTableTest, AnIpv4ConnectionOfAnIpv6ServerIsInTheOtherTable) {
  const std::string table =
      "   0: 0000000000000000FFFF00000100007F:115C 0000000000000000FFFF00000100007F:C350 01 "
      "00000000:00000000 00:00000000 00000000     0        0 44444 1\n"
      "   1: 00000000000000000000000001000000:115C 00000000000000000000000001000000:C350 01 "
      "00000000:00000000 00:00000000 00000000     0        0 55555 1\n";
  EXPECT_EQ(find_tcp(table, v4("127.0.0.1", 4444), v4("127.0.0.1", 50000)), 44444U);
  EXPECT_EQ(find_tcp(table, v6("::1", 4444), v6("::1", 50000)), 55555U);
}

TEST(TcpTableTest, CutOffLinesHaveNoInode) {
  const auto monitor = v4("127.0.0.1", 4444);
  const auto client = v4("127.0.0.1", 50000);
  EXPECT_EQ(find_tcp("", monitor, client), std::nullopt);
  EXPECT_EQ(find_tcp("   1: 0100007F:115C 0100007F:C350 01", monitor, client), std::nullopt);
  EXPECT_EQ(find_tcp("   1: 0100007F:115C 0100007F:C350 01 0:0 0:0 0 0 0 x", monitor, client),
            std::nullopt);
}

}  // namespace
}  // namespace microvmi::qemu
