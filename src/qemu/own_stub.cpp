// SPDX-License-Identifier: Apache-2.0
// `gdbserver` of the human monitor, with a folder of a random name.
#include "qemu/own_stub.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "host/linux/descriptor.hpp"
#include "host/linux/proc.hpp"

namespace microvmi::qemu {
namespace {

constexpr const char* kSocket = "/gdb";

bool is_socket(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

std::string root_of(std::uint32_t pid) { return fmt::format("/proc/{}/root", pid); }

// Empty where QEMU lives under our own root, so that what is left can be removed after it ended.
std::string way_into(std::uint32_t pid) {
  struct stat ours{};
  struct stat its{};
  const std::string root = root_of(pid);
  const bool same = ::stat("/", &ours) == 0 && ::stat(root.c_str(), &its) == 0 &&
                    ours.st_dev == its.st_dev && ours.st_ino == its.st_ino;
  return same ? std::string() : root;
}

// As QEMU sees it, which may live under another root.
std::string socket_inside(const OwnStub& own) {
  const std::string& path = own.stub.endpoint.address;
  const std::string root = root_of(own.stub.pid);
  return path.starts_with(root) ? path.substr(root.size()) : path;
}

Expected<std::string> random_name() {
  std::array<std::uint64_t, 2> bits{};
  if (::getentropy(bits.data(), sizeof bits) != 0)
    return host::system_failure(errno, "cannot get random bytes");
  return fmt::format("/microvmi-{:016x}{:016x}", bits[0], bits[1]);
}

Expected<void> make_folder(const std::string& folder) {
  constexpr ::mode_t kOwnerOnly = 0700;
  if (::mkdir(folder.c_str(), kOwnerOnly) == 0) return {};
  return host::system_failure(errno, "cannot make a folder " + folder);
}

Expected<void> give_to_owner(const std::string& folder, std::uint32_t pid) {
  const auto owner = host::owner_of(pid);
  if (!owner) return std::unexpected(owner.error());
  if (owner->uid == ::geteuid()) return {};
  if (::lchown(folder.c_str(), owner->uid, owner->gid) == 0) return {};
  return host::system_failure(errno, "cannot give " + folder + " to the user of QEMU");
}

}  // namespace

Expected<OwnStub> plan_stub(std::uint32_t pid) {
  const auto name = random_name();
  if (!name) return std::unexpected(name.error());
  const std::string root = way_into(pid);
  std::string place = root + "/run";
  if (::faccessat(AT_FDCWD, place.c_str(), W_OK | X_OK, AT_EACCESS) != 0) place = root + "/tmp";
  std::string folder = place + *name;
  return OwnStub{.stub = {{Endpoint::Kind::unix_path, folder + kSocket}, pid},
                 .folder = std::move(folder)};
}

Expected<void> start_stub(const OwnStub& own, const AskHuman& ask) {
  if (auto made = make_folder(own.folder); !made) return made;
  const auto failed = [&own](Error error) {
    remove_folder(own);
    return std::unexpected(std::move(error));
  };
  if (auto given = give_to_owner(own.folder, own.stub.pid); !given)
    return failed(std::move(given.error()));
  const auto said = ask(fmt::format("gdbserver unix:{},server=on,wait=off", socket_inside(own)));
  if (!said) return failed(said.error());
  if (!is_socket(own.stub.endpoint.address))
    return failed({Errc::io, fmt::format("QEMU started no gdb stub: {:?}", said->substr(0, 200))});
  return {};
}

Expected<bool> has_stub(const OwnStub& own, const AskHuman& ask) {
  const auto said = ask("info chardev");
  if (!said) return std::unexpected(said.error());
  return said->find(socket_inside(own)) != std::string::npos;
}

void remove_folder(const OwnStub& own) {
  ::unlink(own.stub.endpoint.address.c_str());
  ::rmdir(own.folder.c_str());
}

Expected<void> end_stub(const OwnStub& own, const AskHuman& ask) {
  const auto said = ask("gdbserver none");
  remove_folder(own);
  return said ? Expected<void>{} : std::unexpected(said.error());
}

}  // namespace microvmi::qemu
