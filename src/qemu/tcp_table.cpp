// SPDX-License-Identifier: Apache-2.0
// "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...", as proc(5) has
// it.
#include "qemu/tcp_table.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "host/linux/number.hpp"

namespace microvmi::qemu {
namespace {

// The words of a line up to the inode.
constexpr std::size_t kLocal = 1;
constexpr std::size_t kRemote = 2;
constexpr std::size_t kState = 3;
constexpr std::size_t kInode = 9;
constexpr std::string_view kEstablished = "01";  // include/net/tcp_states.h

std::array<std::string_view, kInode + 1> words_of(std::string_view line) {
  std::array<std::string_view, kInode + 1> out;
  for (std::string_view& word : out) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size());
  }
  return out;
}

bool contains(const TcpKey& key, std::string_view word) {
  return std::ranges::find(key, word) != key.end();
}

}  // namespace

TcpKey tcp_key(const sockaddr_storage& address) {
  // The kernel prints the words of an address as they lie in memory.
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof(v4));
    const std::string tail = fmt::format("{:08X}:{:04X}", v4.sin_addr.s_addr, ntohs(v4.sin_port));
    return {tail, fmt::format("0000000000000000{:08X}", htonl(0xFFFF)) + tail};
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address, sizeof(v6));
  std::string text;
  for (std::size_t i = 0; i != sizeof(v6.sin6_addr); i += sizeof(std::uint32_t)) {
    std::uint32_t word = 0;
    std::memcpy(&word, reinterpret_cast<const char*>(&v6.sin6_addr) + i, sizeof(word));
    text += fmt::format("{:08X}", word);
  }
  return {text + fmt::format(":{:04X}", ntohs(v6.sin6_port))};
}

std::optional<std::uint64_t> find_tcp(std::string_view table, const TcpKey& local,
                                      const TcpKey& remote) {
  while (!table.empty()) {
    const std::size_t end = std::min(table.find('\n'), table.size());
    const auto words = words_of(table.substr(0, end));
    table.remove_prefix(std::min(end + 1, table.size()));
    if (!contains(local, words[kLocal]) || !contains(remote, words[kRemote])) continue;
    if (const auto inode = host::number_of<std::uint64_t>(words[kInode]); inode && *inode != 0)
      return *inode;
  }
  return std::nullopt;
}

std::vector<std::uint64_t> established_at(std::string_view table, std::uint16_t port) {
  const std::string end_of_local = fmt::format(":{:04X}", port);
  std::vector<std::uint64_t> out;
  while (!table.empty()) {
    const std::size_t end = std::min(table.find('\n'), table.size());
    const auto words = words_of(table.substr(0, end));
    table.remove_prefix(std::min(end + 1, table.size()));
    const std::uint64_t inode = host::number_of<std::uint64_t>(words[kInode]).value_or(0);
    if (words[kState] == kEstablished && words[kLocal].ends_with(end_of_local) && inode != 0)
      out.push_back(inode);
  }
  return out;
}

}  // namespace microvmi::qemu
