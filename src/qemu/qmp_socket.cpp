// SPDX-License-Identifier: Apache-2.0
// Unix and loopback sockets.
#include "qemu/qmp_socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace microvmi::qemu {
namespace {

// An address in the form that connect() takes it.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

template <class T>
Address packed(const T& address, std::size_t size) {
  static_assert(sizeof(T) <= sizeof(sockaddr_storage));
  Address out;
  std::memcpy(&out.storage, &address, sizeof(T));
  out.size = static_cast<socklen_t>(size);
  return out;
}

Address unix_address(std::string_view name, std::size_t skip) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy_n(name.begin(), std::min(name.size(), sizeof(address.sun_path) - skip),
              address.sun_path + skip);
  return packed(address, offsetof(sockaddr_un, sun_path) + skip + name.size());
}

// The socket by a descriptor of its file, so that a long path fits and nothing can be put in its
// place between the look and the connection.
Expected<host::Descriptor> socket_file(const std::string& path) {
  host::Descriptor file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!file) return host::system_failure(errno, "cannot reach it");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISSOCK(status.st_mode))
    return fail(Errc::invalid_argument, "it is no socket");
  return file;
}

// Names of this host are known without asking anybody; a server on "every address" is reachable
// through loopback.
std::string loopback_of(const std::string& host) {
  if (host == "localhost" || host.empty() || host == "0.0.0.0") return "127.0.0.1";
  return host == "::" ? "::1" : host;
}

Expected<Address> tcp_address(const Endpoint& endpoint) {
  const std::string host = loopback_of(endpoint.address);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(endpoint.port);
  const bool is_v4 = ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1;
  if (is_v4 && ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) return packed(v4, sizeof(v4));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  const bool is_v6 = ::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1;
  if (is_v6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return packed(v6, sizeof(v6));
  return fail(Errc::not_supported, "it is not on this host's loopback", {},
              "only unix sockets and numeric loopback addresses are connected");
}

std::string how_it_is_known(int file) { return fmt::format("/proc/self/fd/{}", file); }

Expected<Address> address_of(const Endpoint& endpoint, const host::Descriptor& file) {
  switch (endpoint.kind) {
    case Endpoint::Kind::tcp:
      return tcp_address(endpoint);
    case Endpoint::Kind::unix_abstract:
      if (endpoint.address.size() >= sizeof(sockaddr_un::sun_path))
        return fail(Errc::invalid_argument, "an abstract socket's name has 107 bytes at most");
      return unix_address(endpoint.address, 1);  // after the NUL that makes it abstract
    default:
      return unix_address(how_it_is_known(file.get()) + '\0', 0);
  }
}

std::unexpected<Error> refused(int error) {
  const auto failed = [error](Errc code, const char* hint) {
    return fail(code, fmt::format("cannot connect: {}", std::strerror(error)), {}, hint);
  };
  switch (error) {
    case EAGAIN:  // unix(7): the queue of the listener is full
      return failed(Errc::busy, "other clients wait for this monitor");
    case ECONNREFUSED:
    case ENOENT:
      return failed(Errc::not_found, "nobody listens there any more");
    case EACCES:
    case EPERM:
      return failed(Errc::permission_denied, "run as the user of the QEMU process or as root");
    default:
      return failed(Errc::io, "");
  }
}

std::unexpected<Error> broken(int error) {
  if (error == ECONNREFUSED) return refused(error);
  const bool gone = error == EPIPE || error == ECONNRESET || error == ENOTCONN;
  return fail(gone ? Errc::disconnected : Errc::io,
              fmt::format("it hung up: {}", std::strerror(error)));
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

Expected<Socket> Socket::connect(const Endpoint& endpoint) {
  host::Descriptor file;
  if (endpoint.kind == Endpoint::Kind::unix_path) {
    auto opened = socket_file(endpoint.address);
    if (!opened) return std::unexpected(opened.error());
    file = *std::move(opened);
  }
  const auto address = address_of(endpoint, file);
  if (!address) return std::unexpected(address.error());
  host::Descriptor fd(
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return host::system_failure(errno, "cannot make a socket");
  const auto* target = reinterpret_cast<const sockaddr*>(&address->storage);
  if (::connect(fd.get(), target, address->size) == 0) return Socket(std::move(fd), true);
  if (errno == EINPROGRESS) return Socket(std::move(fd), false);
  return refused(errno);
}

Expected<bool> Socket::established() {
  if (established_) return true;
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return broken(errno);
  if (error != 0) return broken(error);
  sockaddr_storage peer{};
  size = sizeof(peer);
  established_ = ::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0;
  return established_;
}

Expected<std::size_t> Socket::send(std::string_view bytes) {
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  return would_block(errno) ? Expected<std::size_t>(0U) : broken(errno);
}

Expected<std::size_t> Socket::receive(std::span<char> into) {
  const ssize_t came = ::recv(fd_.get(), into.data(), into.size(), 0);
  if (came > 0) return static_cast<std::size_t>(came);
  if (came == 0) return fail(Errc::disconnected, "it hung up");
  return would_block(errno) ? Expected<std::size_t>(0U) : broken(errno);
}

}  // namespace microvmi::qemu
