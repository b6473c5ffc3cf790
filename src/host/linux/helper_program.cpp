// SPDX-License-Identifier: Apache-2.0
// Helper programs over dladdr and posix_spawn.
#include "host/linux/helper_program.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "host/linux/descriptor.hpp"

namespace microvmi::host {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> cannot(const std::string& what, int error) {
  return fail(error == EACCES ? Errc::permission_denied : Errc::io,
              "cannot start " + what + ": " + std::strerror(error));
}

struct Spawn {
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};

  // The descriptors are none of those that they become.
  explicit Spawn(std::span<const Descriptor> descriptors) {
    ::posix_spawn_file_actions_init(&files);
    for (int target = 0; target < static_cast<int>(descriptors.size()); ++target)
      if (const Descriptor& source = descriptors[static_cast<std::size_t>(target)]; source)
        ::posix_spawn_file_actions_adddup2(&files, source.get(), target);
      else
        ::posix_spawn_file_actions_addopen(&files, target, "/dev/null", O_RDWR, 0);
    ::posix_spawn_file_actions_addclosefrom_np(&files, static_cast<int>(descriptors.size()));
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

}  // namespace

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

Expected<fs::path> find_helper(std::string_view name) {
  const fs::path folder = own_folder();
  const std::array<fs::path, 4> places{folder / name, folder / "../libexec/microvmi" / name,
                                       folder / "../bin" / name,
                                       fs::path(MICROVMI_HELPERS_INSTALLED) / name};
  for (const fs::path& place : places)
    if (::access(place.c_str(), X_OK) == 0) return place.lexically_normal();
  return fail(Errc::not_found,
              "there is no " + std::string(name) + " beside the library in " + folder.string());
}

Expected<pid_t> start_helper(const fs::path& program, std::span<const int> descriptors) {
  constexpr int kAbove = 64;  // of all that they become
  std::vector<Descriptor> sources;
  for (const int fd : descriptors) {
    sources.emplace_back(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, kAbove));
    if (fd >= 0 && !sources.back()) return cannot(program.string(), errno);
  }
  const Spawn spawn(sources);
  std::string name = program.string();
  const std::array<char*, 2> argv{name.data(), nullptr};
  pid_t pid = 0;
  if (const int error =
          ::posix_spawn(&pid, name.c_str(), &spawn.files, &spawn.attributes, argv.data(), environ);
      error != 0)
    return cannot(name, error);
  return pid;
}

void reap_helper(pid_t pid, const Wait& wait) {
  while (::waitpid(pid, nullptr, WNOHANG) == 0) {
    if (wait.over() != Errc::none) ::kill(pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace microvmi::host
