// SPDX-License-Identifier: Apache-2.0
// Sockets that somebody else connects to. None of these calls blocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "driver/kvm/codec.hpp"
#include "host/linux/descriptor.hpp"

namespace microvmi::kvm::native {

// Ends the poll() of another thread.
class Wakeup {
 public:
  [[nodiscard]] static Expected<Wakeup> make();
  void signal() const;
  void clear() const;
  [[nodiscard]] int get() const { return fd_.get(); }

 private:
  explicit Wakeup(host::Descriptor fd) : fd_(std::move(fd)) {}
  host::Descriptor fd_;
};

// A file of the file system, whatever its path means by now.
struct SocketFile {
  std::string path{};
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

struct UnixListener {
  host::Descriptor socket{};
  SocketFile file{};
  std::optional<std::uint32_t> group = std::nullopt;  // whose members may connect
};

// With mode 0600, or 0660 for a group. Replaces a socket that nobody listens on and nothing else.
[[nodiscard]] Expected<UnixListener> listen_unix(const std::filesystem::path& path,
                                                 const std::optional<std::string>& group);

// Unless something else is there by now.
void remove(const SocketFile& file);

[[nodiscard]] Expected<host::Descriptor> listen_vsock(std::uint32_t port);

// Null where nobody waits.
[[nodiscard]] Expected<std::optional<host::Descriptor>> accept(int listener);

// Who made the other end of a unix socket (SO_PEERCRED, SO_PEERGROUPS).
struct Credentials {
  std::uint32_t pid = 0;
  std::uint32_t uid = 0;
  std::vector<std::uint32_t> groups{};
};
[[nodiscard]] Expected<Credentials> credentials_of(int socket);
[[nodiscard]] std::uint32_t own_uid();

// The context id of the other end of a vsock.
[[nodiscard]] Expected<std::uint32_t> cid_of(int socket);
inline constexpr std::uint32_t kHostCid = 2;  // VMADDR_CID_HOST

// The peer sees the end, although the descriptor lives on.
void shut_down(int socket);

// How many bytes went through; 0 where it would block, Errc::disconnected where the peer hung up.
[[nodiscard]] Expected<std::size_t> send(int socket, ByteSpan bytes);
[[nodiscard]] Expected<std::size_t> receive(int socket, std::span<std::byte> into);

}  // namespace microvmi::kvm::native
