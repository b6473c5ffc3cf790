// SPDX-License-Identifier: Apache-2.0
// Unix sockets and vsock by system calls.
#include "driver/kvm/native.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace microvmi::kvm::native {
namespace {

constexpr int kFlags = SOCK_CLOEXEC | SOCK_NONBLOCK;

// So many guests may wait to be looked at.
constexpr int kBacklog = 16;

std::unexpected<Error> failed(int error, const std::string& what, const char* hint = "") {
  auto out = host::system_failure(error, what);
  out.error().hint = hint;
  return out;
}

template <class Address>
const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

Expected<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path) || path.contains('\0'))
    return fail(Errc::invalid_argument,
                fmt::format("{} cannot be the path of a socket: it has {} bytes, and 1 to {} are "
                            "allowed",
                            path, path.size(), sizeof(address.sun_path) - 1));
  std::ranges::copy(path, std::begin(address.sun_path));
  return address;
}

Expected<struct stat> look_at(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return failed(errno, "cannot look at " + path);
  return status;
}

bool is_same(const struct stat& status, const SocketFile& file) {
  return S_ISSOCK(status.st_mode) && status.st_dev == file.device && status.st_ino == file.inode;
}

// A datagram socket cannot be connected to a stream socket. The kernel says so where one is bound,
// and "refused" where none is; whoever listens never hears of it.
bool is_dead(const sockaddr_un& address) {
  const host::Descriptor probe(::socket(AF_UNIX, SOCK_DGRAM | kFlags, 0));
  return probe && ::connect(probe.get(), generic(address), sizeof(address)) != 0 &&
         errno == ECONNREFUSED;
}

Expected<void> clear_dead(const std::string& path, const sockaddr_un& address) {
  const auto before = look_at(path);
  if (!before) return std::unexpected(before.error());
  if (!S_ISSOCK(before->st_mode))
    return fail(Errc::invalid_argument, path + " exists and is no socket", {},
                "name a path that does not exist yet");
  if (!is_dead(address))
    return fail(Errc::busy, "another program listens on " + path, {},
                "end that one, or name another path here and in QEMU's -chardev");
  const SocketFile dead{path, before->st_dev, before->st_ino};
  const auto now = look_at(path);
  if (!now || !is_same(*now, dead)) return fail(Errc::busy, path + " is changed by others");
  if (::unlink(path.c_str()) != 0) return failed(errno, "cannot remove the dead socket " + path);
  return {};
}

Expected<std::uint32_t> group_of(const std::string& name) {
  std::vector<char> text(64UL * 1024);  // a group may have many members
  struct group entry{};
  struct group* found = nullptr;
  const int error = ::getgrnam_r(name.c_str(), &entry, text.data(), text.size(), &found);
  if (error != 0) return failed(error, "cannot look up the group " + name);
  if (!found) return fail(Errc::invalid_argument, "there is no group " + name);
  return entry.gr_gid;
}

// By a descriptor of the file, so that nothing put in its place meanwhile is changed.
Expected<void> open_to_group(const SocketFile& file, std::uint32_t group) {
  const host::Descriptor fd(::open(file.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return failed(errno, "cannot open " + file.path);
  if (!is_same(status, file)) return fail(Errc::busy, file.path + " is changed by others");
  if (::fchownat(fd.get(), "", static_cast<uid_t>(-1), group, AT_EMPTY_PATH) != 0)
    return failed(errno, fmt::format("cannot give {} to group {}", file.path, group),
                  "be a member of that group, or run as root");
  if (::chmod(fmt::format("/proc/self/fd/{}", fd.get()).c_str(),
              S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) != 0)
    return failed(errno, "cannot set the mode of " + file.path);
  return {};
}

Expected<void> bind_to(int socket, const std::string& path) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  for (const bool first : {true, false}) {
    if (::bind(socket, generic(*address), sizeof(*address)) == 0) return {};
    if (errno != EADDRINUSE || !first) break;
    if (auto done = clear_dead(path, *address); !done) return done;
  }
  return failed(errno, "cannot make the socket " + path,
                errno == ENOENT ? "make its folder first" : "");
}

}  // namespace

Expected<Wakeup> Wakeup::make() {
  host::Descriptor fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return failed(errno, "cannot make an eventfd");
  return Wakeup(std::move(fd));
}

void Wakeup::signal() const { static_cast<void>(::eventfd_write(fd_.get(), 1)); }

void Wakeup::clear() const {
  eventfd_t count = 0;
  static_cast<void>(::eventfd_read(fd_.get(), &count));
}

Expected<UnixListener> listen_unix(const std::filesystem::path& path,
                                   const std::optional<std::string>& group) {
  UnixListener out;
  if (group) {
    auto id = group_of(*group);
    if (!id) return std::unexpected(std::move(id.error()));
    out.group = *id;
  }
  out.socket = host::Descriptor(::socket(AF_UNIX, SOCK_STREAM | kFlags, 0));
  // The mode of the socket is that of the file which bind() makes, so that it is never wider.
  if (!out.socket || ::fchmod(out.socket.get(), S_IRUSR | S_IWUSR) != 0)
    return failed(errno, "cannot make a unix socket");
  if (auto done = bind_to(out.socket.get(), path.string()); !done)
    return std::unexpected(std::move(done.error()));
  const auto status = look_at(path.string());
  if (!status) return std::unexpected(status.error());
  out.file = {path.string(), status->st_dev, status->st_ino};
  auto done = out.group ? open_to_group(out.file, *out.group) : Expected<void>{};
  if (done && ::listen(out.socket.get(), kBacklog) != 0)
    done = failed(errno, "cannot listen on " + path.string());
  if (done) return out;
  remove(out.file);
  return std::unexpected(std::move(done.error()));
}

void remove(const SocketFile& file) {
  struct stat status{};
  if (::lstat(file.path.c_str(), &status) == 0 && is_same(status, file))
    ::unlink(file.path.c_str());
}

Expected<host::Descriptor> listen_vsock(std::uint32_t port) {
  host::Descriptor fd(::socket(AF_VSOCK, SOCK_STREAM | kFlags, 0));
  if (!fd) return failed(errno, "cannot make a vsock", "this kernel may have no vsock");
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_port = port;
  address.svm_cid = VMADDR_CID_ANY;
  if (::bind(fd.get(), generic(address), sizeof(address)) != 0) {
    if (errno == EADDRINUSE)
      return fail(Errc::busy, fmt::format("another program listens on vsock port {}", port));
    return failed(errno, fmt::format("cannot bind vsock port {}", port));
  }
  if (::listen(fd.get(), kBacklog) != 0)
    return failed(errno, fmt::format("cannot listen on vsock port {}", port));
  return fd;
}

Expected<std::optional<host::Descriptor>> accept(int listener) {
  host::Descriptor fd(::accept4(listener, nullptr, nullptr, kFlags));
  if (fd) return std::optional(std::move(fd));
  // A client may have left again before it was looked at.
  if (would_block(errno) || errno == ECONNABORTED) return std::nullopt;
  return failed(errno, "cannot accept");
}

Expected<Credentials> credentials_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return failed(errno, "cannot tell who connected");
  Credentials out{static_cast<std::uint32_t>(peer.pid), peer.uid, {peer.gid}};
  std::vector<gid_t> groups(1UL << 16U);  // NGROUPS_MAX, linux/limits.h
  size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0)
    out.groups.insert(out.groups.end(), groups.begin(),
                      groups.begin() + static_cast<std::ptrdiff_t>(size / sizeof(gid_t)));
  return out;
}

std::uint32_t own_uid() { return ::geteuid(); }

Expected<std::uint32_t> cid_of(int socket) {
  sockaddr_vm peer{};
  socklen_t size = sizeof(peer);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0)
    return failed(errno, "cannot tell who connected");
  return peer.svm_cid;
}

void shut_down(int socket) { ::shutdown(socket, SHUT_RDWR); }

Expected<std::size_t> send(int socket, ByteSpan bytes) {
  const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (would_block(errno)) return 0U;
  return fail(Errc::disconnected, fmt::format("cannot send: {}", std::strerror(errno)));
}

Expected<std::size_t> receive(int socket, std::span<std::byte> into) {
  const ssize_t came = ::recv(socket, into.data(), into.size(), MSG_DONTWAIT);
  if (came > 0) return static_cast<std::size_t>(came);
  if (came == 0) return fail(Errc::disconnected, "the connection was closed");
  if (would_block(errno)) return 0U;
  return fail(Errc::disconnected, fmt::format("cannot receive: {}", std::strerror(errno)));
}

}  // namespace microvmi::kvm::native
