// SPDX-License-Identifier: Apache-2.0
// `gdbserver` of the human monitor, with a folder of a new name.
#include "qemu/own_stub.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "host/linux/descriptor.hpp"
#include "host/linux/proc.hpp"
#include "qemu/stub_folder.hpp"

namespace microvmi::qemu {
namespace {

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
  auto folder = new_stub_folder(way_into(pid), pid);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return OwnStub{.stub = {{Endpoint::Kind::unix_path, *folder + "/" + kStubSocket}, pid},
                 .folder = *std::move(folder)};
}

Expected<void> start_stub(const OwnStub& own, const AskHuman& ask) {
  remove_stale_stub_folders(own.folder.substr(0, own.folder.rfind('/')));
  if (auto made = make_folder(own.folder); !made) return made;
  const auto failed = [&own](Error error) {
    remove_folder(own);
    return std::unexpected(std::move(error));
  };
  if (auto given = give_to_owner(own.folder, own.stub.pid); !given)
    return failed(std::move(given.error()));
  const auto said = ask(fmt::format("gdbserver unix:{},server=on,wait=off", socket_inside(own)));
  if (!said && said.error().code == Errc::timed_out) return std::unexpected(said.error());
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

void remove_folder(const OwnStub& own) { remove_stub_folder(own.folder); }

Expected<void> end_stub(const OwnStub& own, const AskHuman& ask) {
  const auto said = ask("gdbserver none");
  if (!said) return std::unexpected(said.error());
  remove_folder(own);
  return {};
}

}  // namespace microvmi::qemu
