// SPDX-License-Identifier: Apache-2.0
// From what the command line says of a monitor to its address.
#include "qemu/monitors.hpp"

#include <algorithm>
#include <array>

#include "host/linux/proc.hpp"

namespace microvmi::qemu {
namespace {

// An absolute path is looked up in the process's root folder, which may be another one than ours.
std::string seen_from_here(std::uint32_t pid, const std::string& path) {
  const std::string process = "/proc/" + std::to_string(pid);
  return path.starts_with('/') ? process + "/root" + path : process + "/cwd/" + path;
}

std::optional<Endpoint> inherited(std::uint32_t pid, int fd) {
  const auto files = host::open_files_of(pid);
  if (!files) return std::nullopt;
  const auto file = std::ranges::find(*files, fd, &host::OpenFile::fd);
  const auto sockets = host::unix_sockets_of(pid);
  if (file == files->end() || file->socket_inode() == 0 || !sockets) return std::nullopt;
  const auto socket = std::ranges::find(*sockets, file->socket_inode(), &host::UnixEndpoint::inode);
  if (socket == sockets->end() || !socket->listening) return std::nullopt;
  if (socket->abstract) return Endpoint{Endpoint::Kind::unix_abstract, socket->path};
  return Endpoint{Endpoint::Kind::unix_path, seen_from_here(pid, socket->path)};
}

// What listens everywhere listens on the loopback address too.
std::optional<Endpoint> on_this_host(const MonitorAddress& address) {
  constexpr std::array<std::string_view, 4> kLocal{"", "localhost", "0.0.0.0", "127.0.0.1"};
  constexpr std::array<std::string_view, 4> kLocal6{"::", "::1", "[::]", "[::1]"};
  if (std::ranges::find(kLocal, address.text) != kLocal.end())
    return Endpoint{Endpoint::Kind::tcp, "127.0.0.1", address.port};
  if (std::ranges::find(kLocal6, address.text) != kLocal6.end())
    return Endpoint{Endpoint::Kind::tcp, "::1", address.port};
  return std::nullopt;
}

std::optional<Endpoint> endpoint_of(const MonitorAddress& address, std::uint32_t pid) {
  switch (address.kind) {
    case MonitorAddress::Kind::unix_path:
      return Endpoint{Endpoint::Kind::unix_path, seen_from_here(pid, address.text)};
    case MonitorAddress::Kind::unix_abstract:
      return Endpoint{Endpoint::Kind::unix_abstract, address.text};
    case MonitorAddress::Kind::inherited_fd:
      return inherited(pid, address.fd);
    case MonitorAddress::Kind::tcp:
      return on_this_host(address);
    case MonitorAddress::Kind::other:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Monitor> monitors_of(const CommandLine& line, std::uint32_t pid) {
  constexpr int kMostLookedAt = 16;
  std::vector<Monitor> out;
  int looked_at = 0;
  for (const MonitorAddress& address : line.qmp) {
    if (!address.listens && address.kind != MonitorAddress::Kind::inherited_fd) continue;
    if (++looked_at > kMostLookedAt) break;
    if (auto endpoint = endpoint_of(address, pid)) out.push_back({*std::move(endpoint), pid});
  }
  return out;
}

std::vector<Monitor> monitors_of(const QemuProcess& process) {
  if (process.given_monitor) return {{*process.given_monitor, process.pid}};
  return monitors_of(process.line, process.pid);
}

// -gdb has the forms of -qmp; of a TCP one QEMU itself makes a server.
std::optional<Monitor> gdb_stub_of(const CommandLine& line, std::uint32_t pid) {
  const bool tcp = line.gdb.starts_with("tcp:");
  MonitorOptions options;
  std::vector<std::string> ignored;
  options.qmp(line.gdb, ignored);
  for (const MonitorAddress& one : std::move(options).finish()) {
    if (!tcp && !one.listens) continue;
    if (auto endpoint = endpoint_of(one, pid)) return Monitor{*std::move(endpoint), pid};
  }
  return std::nullopt;
}

std::optional<Endpoint> endpoint_of(std::string_view written, std::uint32_t pid) {
  constexpr std::string_view kIdle = "disconnected:";
  if (written.starts_with(kIdle)) written.remove_prefix(kIdle.size());
  MonitorOptions options;
  std::vector<std::string> ignored;
  options.qmp(written, ignored);
  for (const MonitorAddress& one : std::move(options).finish())
    if (one.listens) return endpoint_of(one, pid);
  return std::nullopt;
}

}  // namespace microvmi::qemu
