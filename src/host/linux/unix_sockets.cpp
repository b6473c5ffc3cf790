// SPDX-License-Identifier: Apache-2.0
// /proc/net/unix: "slot: refs protocol flags type state inode path".
#include <fmt/format.h>

#include <map>
#include <optional>

#include "host/linux/descriptor.hpp"
#include "host/linux/number.hpp"
#include "host/linux/proc.hpp"

namespace microvmi::host {
namespace {

constexpr std::size_t kListLimit = std::size_t{64} << 20;
constexpr std::uint32_t kAcceptsConnections = 1U << 16;  // __SO_ACCEPTCON of linux/net.h

// Takes a word and the blanks before it.
std::string_view take_word(std::string_view& rest) {
  const std::size_t first = rest.find_first_not_of(' ');
  rest.remove_prefix(first == std::string_view::npos ? rest.size() : first);
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

std::optional<UnixEndpoint> endpoint_in(std::string_view rest) {
  if (!take_word(rest).ends_with(':')) return std::nullopt;
  take_word(rest);  // references
  take_word(rest);  // protocol
  const auto flags = number_of<std::uint32_t>(take_word(rest), 16);
  if (!flags) return std::nullopt;
  take_word(rest);  // type
  take_word(rest);  // state
  UnixEndpoint out;
  out.inode = number_of<std::uint64_t>(take_word(rest)).value_or(0);
  if (out.inode == 0) return std::nullopt;
  if (rest.size() < 2) return std::nullopt;
  out.path = rest.substr(1);
  out.abstract = out.path[0] == '@';
  out.listening = (*flags & kAcceptsConnections) != 0;
  return out;
}

}  // namespace

std::vector<UnixEndpoint> parse_unix_sockets(std::string_view text) {
  std::vector<UnixEndpoint> all;
  std::map<std::uint64_t, std::size_t> seen;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (auto endpoint = endpoint_in(text.substr(0, end))) {
      ++seen[endpoint->inode];
      all.push_back(*std::move(endpoint));
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  std::erase_if(all, [&seen](const UnixEndpoint& e) { return seen[e.inode] != 1; });
  return all;
}

Expected<std::vector<UnixEndpoint>> unix_sockets_of(std::uint32_t pid) {
  const auto text = read_text(fmt::format("/proc/{}/net/unix", pid), kListLimit);
  if (!text) return std::unexpected(text.error());
  return parse_unix_sockets(*text);
}

}  // namespace microvmi::host
