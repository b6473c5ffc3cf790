// SPDX-License-Identifier: Apache-2.0
// "microvmi-gdb.NAMESPACE.PID.START.RANDOM": pids are those of a namespace, of which others may
// share the folder.
#include "qemu/stub_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>

#include "host/linux/descriptor.hpp"
#include "host/linux/proc.hpp"

namespace microvmi::qemu {
namespace {

constexpr std::string_view kPrefix = "microvmi-gdb.";

// What is looked at of a folder that everybody may fill.
constexpr int kMostEntries = 100'000;

// "4026531836" of "pid:[4026531836]".
std::optional<std::string> pid_namespace() {
  const auto link = host::read_link("/proc/self/ns/pid");
  if (!link) return std::nullopt;
  const std::size_t start = link->find('[') + 1;
  const std::size_t end = link->find(']');
  if (start == 0 || end == std::string::npos || end < start) return std::nullopt;
  return link->substr(start, end - start);
}

template <class T>
std::optional<T> take_number(std::string_view& text) {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (ec != std::errc{} || used == text.size() || text[used] != '.') return std::nullopt;
  text.remove_prefix(used + 1);
  return value;
}

bool is_stale(std::string_view name, const std::string& our_namespace) {
  const std::string start_of_ours = fmt::format("{}{}.", kPrefix, our_namespace);
  if (!name.starts_with(start_of_ours)) return false;
  name.remove_prefix(start_of_ours.size());
  const auto pid = take_number<std::uint32_t>(name);
  const auto start = pid ? take_number<std::uint64_t>(name) : std::nullopt;
  if (!start) return false;
  const auto now = host::stat_of(*pid);
  if (!now) return now.error().code == Errc::not_found;
  return now->start_time != *start || now->state == 'Z';
}

// A link of another root would lead into ours.
bool can_hold_one(const std::string& place, bool ours) {
  struct stat status{};
  const int told = ours ? ::stat(place.c_str(), &status) : ::lstat(place.c_str(), &status);
  return told == 0 && S_ISDIR(status.st_mode) &&
         ::faccessat(AT_FDCWD, place.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

}  // namespace

Expected<std::string> new_stub_folder(const std::string& root, std::uint32_t pid) {
  const auto process = host::stat_of(pid);
  if (!process) return std::unexpected(process.error());
  const auto in = pid_namespace();
  std::uint64_t random = 0;
  if (!in || ::getentropy(&random, sizeof random) != 0)
    return host::system_failure(errno, "cannot make up a name");
  const std::string name =
      fmt::format("{}{}.{}.{}.{:016x}", kPrefix, *in, pid, process->start_time, random);
  for (const char* const one : {"/run/", "/tmp/"})
    if (can_hold_one(root + one, root.empty())) return root + one + name;
  return fail(Errc::permission_denied,
              fmt::format("neither /run nor /tmp of process {} can be written to", pid), {},
              "start QEMU with -gdb unix:PATH,server=on,wait=off");
}

void remove_stub_folder(const std::string& folder) {
  const host::Descriptor inside(
      ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!inside) return;
  ::unlinkat(inside.get(), kStubSocket, 0);
  ::rmdir(folder.c_str());
}

void remove_stale_stub_folders(const std::string& place) {
  const auto in = pid_namespace();
  if (!in) return;
  std::error_code ec;
  std::filesystem::directory_iterator one(place, ec);
  for (int i = 0; i < kMostEntries && !ec && one != std::filesystem::directory_iterator();
       ++i, one.increment(ec)) {
    const std::string name = one->path().filename().string();
    if (is_stale(name, *in)) remove_stub_folder(one->path().string());
  }
}

}  // namespace microvmi::qemu
