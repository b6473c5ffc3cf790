// SPDX-License-Identifier: Apache-2.0
// Finds the helper and starts it so that it is no child of ours: it forks once and the first half
// ends, and a program that waits for its own children never meets it.
#include "guard/launch.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

namespace microvmi::guard {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> cannot(const std::string& what, int error) {
  return fail(error == EACCES ? Errc::permission_denied : Errc::io,
              "cannot start the guard process: " + what + ": " + std::strerror(error));
}

// The folder of the file that holds this function: the shared library, or a program without one.
fs::path own_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || !info.dli_fname)
    return {};
  std::error_code ec;
  const fs::path file = fs::canonical(info.dli_fname, ec);
  if (!ec) return file.parent_path();
  const fs::path program = fs::canonical("/proc/self/exe", ec);  // argv[0] was found through PATH
  return ec ? fs::path{} : program.parent_path();
}

struct Spawn {
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};

  explicit Spawn(int socket) {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, socket, kHelperFd);
    for (int fd = 0; fd < kHelperFd; ++fd)
      ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    ::posix_spawn_file_actions_addclosefrom_np(&files, kHelperFd + 1);
    sigset_t none{};
    sigset_t all{};
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(&attributes,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  ~Spawn() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
};

// The first half of the helper ends at once; whatever does not is no helper.
void reap(pid_t pid, const Wait& wait) {
  while (::waitpid(pid, nullptr, WNOHANG) == 0) {
    if (wait.over() != Errc::none) ::kill(pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

Expected<fs::path> helper_for(const GuardOptions& options) {
  if (!options.helper.empty()) return options.helper;
  const fs::path folder = own_folder();
  const std::array<fs::path, 4> places{folder / "microvmi-guard",
                                       folder / "../libexec/microvmi/microvmi-guard",
                                       folder / "../bin/microvmi-guard", MICROVMI_GUARD_INSTALLED};
  for (const fs::path& place : places)
    if (::access(place.c_str(), X_OK) == 0) return place.lexically_normal();
  return fail(Errc::not_found,
              "there is no microvmi-guard beside the library in " + folder.string(), {},
              "install it or name it in GuardOptions::helper");
}

Expected<Channel> launch(const GuardOptions& options) {
  const auto helper = helper_for(options);
  if (!helper) return std::unexpected(helper.error());
  auto ends = Channel::pair();
  if (!ends) return std::unexpected(std::move(ends.error()));
  const Spawn spawn(ends->second.fd());
  std::string name = helper->string();
  const std::array<char*, 2> argv{name.data(), nullptr};
  pid_t pid = 0;
  if (const int error =
          ::posix_spawn(&pid, name.c_str(), &spawn.files, &spawn.attributes, argv.data(), environ);
      error != 0)
    return cannot(name, error);
  {
    const Channel theirs = std::move(ends->second);
  }  // else its end would outlive the helper
  const Wait wait = Wait::at_most(options.timeout);
  const auto greeting = ends->first.receive(wait);
  reap(pid, wait);
  if (!greeting || greeting->empty() || greeting->front() != kGreeting)
    return fail(Errc::protocol, name + " is no guard process of this version");
  return std::move(ends->first);
}

}  // namespace microvmi::guard
