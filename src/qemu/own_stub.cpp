// SPDX-License-Identifier: Apache-2.0
// `gdbserver` of the human monitor, with a folder made by mkdtemp.
#include "qemu/own_stub.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "host/linux/descriptor.hpp"
#include "host/linux/proc.hpp"

namespace microvmi::qemu {
namespace {

constexpr const char* kSocket = "/gdb";

void remove(const std::string& folder) {
  ::unlink((folder + kSocket).c_str());
  ::rmdir(folder.c_str());
}

bool is_socket(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

// In QEMU's own root folder, so that both sides find it. mkdtemp makes it 0700.
Expected<std::string> make_folder(std::uint32_t pid) {
  const std::string root = fmt::format("/proc/{}/root", pid);
  Error failure;
  for (const char* place : {"/run", "/tmp"}) {
    std::string path = root + place + "/microvmi-XXXXXX";
    if (::mkdtemp(path.data())) return path;
    failure = host::system_failure(errno, "cannot make a folder " + path).error();
  }
  return std::unexpected(std::move(failure));
}

Expected<void> give_to_owner(const std::string& folder, std::uint32_t pid) {
  const auto owner = host::owner_of(pid);
  if (!owner) return std::unexpected(owner.error());
  if (owner->uid == ::geteuid()) return {};
  if (::lchown(folder.c_str(), owner->uid, owner->gid) == 0) return {};
  return host::system_failure(errno, "cannot give " + folder + " to the user of QEMU");
}

}  // namespace

Expected<OwnStub> start_stub(std::uint32_t pid, const AskHuman& ask) {
  auto folder = make_folder(pid);
  if (!folder) return std::unexpected(std::move(folder.error()));
  const auto failed = [&folder](Error error) {
    remove(*folder);
    return std::unexpected(std::move(error));
  };
  if (auto given = give_to_owner(*folder, pid); !given) return failed(std::move(given.error()));
  const std::string root = fmt::format("/proc/{}/root", pid);
  const std::string inside = folder->substr(root.size()) + kSocket;
  const auto said = ask(fmt::format("gdbserver unix:{},server=on,wait=off", inside));
  if (!said) return failed(said.error());
  if (!is_socket(*folder + kSocket))
    return failed({Errc::io, fmt::format("QEMU started no gdb stub: {:?}", said->substr(0, 200))});
  return OwnStub{.stub = {{Endpoint::Kind::unix_path, *folder + kSocket}, pid},
                 .folder = *std::move(folder)};
}

Expected<void> end_stub(const OwnStub& own, const AskHuman& ask) {
  const auto said = ask("gdbserver none");
  remove(own.folder);
  return said ? Expected<void>{} : std::unexpected(said.error());
}

}  // namespace microvmi::qemu
