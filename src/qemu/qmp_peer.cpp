// SPDX-License-Identifier: Apache-2.0
// The other end of a connection, by credentials and by inode.
#include "qemu/qmp_peer.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "host/linux/proc.hpp"
#include "qemu/tcp_table.hpp"
#include "qemu/unix_diag.hpp"

namespace microvmi::qemu {
namespace {

constexpr std::size_t kTcpTableLimit = 16 << 20;

bool holds_socket(const std::vector<host::OpenFile>& files, std::uint64_t inode) {
  return inode != 0 && std::ranges::any_of(files, [inode](const host::OpenFile& file) {
           return file.socket_inode() == inode;
         });
}

std::uint32_t inode_of(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? static_cast<std::uint32_t>(status.st_ino) : 0;
}

std::uint32_t listener_pid(int connection) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  const bool known = ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  return known && credentials.pid > 0 ? static_cast<std::uint32_t>(credentials.pid) : 0;
}

std::unexpected<Error> not_this_qemu(const Monitor& monitor, const std::string& who) {
  return fail(Errc::not_found, fmt::format("it does not lead to process {}{}", monitor.pid, who));
}

Expected<std::uint64_t> unix_peer(int connection) {
  const auto diag = UnixDiag::open();
  if (!diag) return std::unexpected(diag.error());
  const auto socket = diag->ask(inode_of(connection));
  if (!socket) return std::unexpected(socket.error());
  return socket->peer;
}

Expected<std::uint64_t> tcp_peer(int connection, std::uint32_t pid) {
  sockaddr_storage own{};
  sockaddr_storage peer{};
  socklen_t own_size = sizeof(own);
  socklen_t peer_size = sizeof(peer);
  if (::getsockname(connection, reinterpret_cast<sockaddr*>(&own), &own_size) != 0 ||
      ::getpeername(connection, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0)
    return fail(Errc::disconnected, "it hung up");
  // A server on "::" has its IPv4 connections in tcp6.
  for (const char* table : {"tcp", "tcp6"}) {
    const auto text = host::read_text(fmt::format("/proc/{}/net/{}", pid, table), kTcpTableLimit);
    if (!text) continue;
    if (const auto inode = find_tcp(*text, tcp_key(peer), tcp_key(own))) return *inode;
  }
  return 0;
}

std::vector<UnixSocket> sockets_of(std::uint32_t pid) {
  std::vector<UnixSocket> out;
  const auto files = host::open_files_of(pid);
  const auto diag = UnixDiag::open();
  if (!files || !diag) return out;
  for (const host::OpenFile& file : *files)
    if (const std::uint64_t inode = file.socket_inode(); inode != 0)
      if (auto socket = diag->ask(static_cast<std::uint32_t>(inode)))
        out.push_back(*std::move(socket));
  return out;
}

std::optional<Holder> owner_of_socket(std::uint64_t inode) {
  const auto all = host::pids();
  for (const std::uint32_t pid : all ? *all : std::vector<std::uint32_t>()) {
    const auto held = host::open_files_of(pid);
    if (held && holds_socket(*held, inode))
      return Holder{.pid = pid, .comm = host::comm_of(pid).value_or("")};
  }
  return std::nullopt;
}

// An endpoint's path may begin with /proc/PID/root or cwd; a socket has the name it was bound with.
bool is_bound_as(std::string_view name, const Endpoint& endpoint) {
  if (endpoint.kind == Endpoint::Kind::unix_abstract)
    return name.starts_with('\0') && name.substr(1) == endpoint.address;
  while (name.ends_with('\0')) name.remove_suffix(1);
  const std::size_t start = name.find_first_not_of('/');
  return start != std::string_view::npos &&
         (endpoint.address == name ||
          endpoint.address.ends_with("/" + std::string(name.substr(start))));
}

// Of a TCP port the kernel's table tells that somebody is connected, and not who.
std::optional<Holder> tcp_user_of(const Monitor& monitor) {
  for (const char* table : {"tcp", "tcp6"}) {
    const auto text =
        host::read_text(fmt::format("/proc/{}/net/{}", monitor.pid, table), kTcpTableLimit);
    const auto files = host::open_files_of(monitor.pid);
    if (!text || !files) continue;
    for (const std::uint64_t inode : established_at(*text, monitor.endpoint.port))
      if (holds_socket(*files, inode)) return Holder{};
  }
  return std::nullopt;
}

}  // namespace

Expected<void> check_peer(int connection, const Monitor& monitor) {
  const bool tcp = monitor.endpoint.kind == Endpoint::Kind::tcp;
  const std::uint32_t listener = tcp ? 0 : listener_pid(connection);
  if (listener == monitor.pid && listener != 0) return {};
  const auto files = host::open_files_of(monitor.pid);
  if (!files) return std::unexpected(files.error());
  const auto peer = tcp ? tcp_peer(connection, monitor.pid) : unix_peer(connection);
  if (!peer) return std::unexpected(peer.error());
  if (holds_socket(*files, *peer)) return {};
  return not_this_qemu(monitor,
                       listener != 0 ? fmt::format(": process {} listens there", listener) : "");
}

std::optional<Holder> holder_of(int connection, const Monitor& monitor) {
  const std::vector<UnixSocket> sockets = sockets_of(monitor.pid);
  const std::uint32_t own = inode_of(connection);
  const auto listener = std::ranges::find_if(sockets, [own](const UnixSocket& socket) {
    return std::ranges::find(socket.waiting, own) != socket.waiting.end();
  });
  if (listener == sockets.end()) return std::nullopt;
  // What a listener accepts has its name.
  const auto taken = std::ranges::find_if(sockets, [&listener](const UnixSocket& socket) {
    return !socket.listening && socket.name == listener->name && socket.peer != 0;
  });
  if (taken == sockets.end()) return std::nullopt;
  return owner_of_socket(taken->peer);
}

std::optional<Holder> user_of(const Monitor& monitor) {
  if (monitor.endpoint.kind == Endpoint::Kind::tcp) return tcp_user_of(monitor);
  const std::vector<UnixSocket> sockets = sockets_of(monitor.pid);
  const auto taken = std::ranges::find_if(sockets, [&](const UnixSocket& socket) {
    return !socket.listening && socket.peer != 0 && is_bound_as(socket.name, monitor.endpoint);
  });
  if (taken == sockets.end()) return std::nullopt;
  return owner_of_socket(taken->peer).value_or(Holder{});
}

}  // namespace microvmi::qemu
