// SPDX-License-Identifier: Apache-2.0
// Readers of the small files of /proc/PID.
#include "host/linux/proc.hpp"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "host/linux/descriptor.hpp"
#include "host/linux/number.hpp"

namespace microvmi::host {
namespace {

// The kernel's own bound on argument strings is a quarter of the stack limit, 6 MiB at most
// (fs/exec.c, bprm_stack_limits).
constexpr std::size_t kArgvLimit = std::size_t{8} << 20;

std::string path_of(std::uint32_t pid, const char* name) {
  return fmt::format("/proc/{}/{}", pid, name);
}

// The names in a folder that are numbers.
template <class T>
Expected<std::vector<T>> numbered_entries(const std::string& path) {
  const auto close = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close)> dir(::opendir(path.c_str()), close);
  if (!dir) return system_failure(errno, "cannot list " + path);
  std::vector<T> out;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (!entry && errno != 0) return system_failure(errno, "cannot list " + path);
    if (!entry) break;
    if (const auto number = number_of<T>(std::string_view(entry->d_name))) out.push_back(*number);
  }
  std::ranges::sort(out);
  return out;
}

// Field `index` of text that is separated by runs of blanks.
std::string_view field(std::string_view text, std::size_t index) {
  for (;; --index) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(" \t\n"));
    if (index == 0) return word;
    text.remove_prefix(word.size());
  }
}

std::optional<std::uint32_t> status_field(std::string_view status, std::string_view name) {
  const std::size_t at = status.find(fmt::format("\n{}:", name));
  if (at == std::string_view::npos) return std::nullopt;
  // real, effective, saved, file system
  return number_of<std::uint32_t>(field(status.substr(at + name.size() + 2), 1));
}

}  // namespace

Expected<std::vector<std::uint32_t>> pids() { return numbered_entries<std::uint32_t>("/proc"); }

Expected<std::vector<std::string>> argv_of(std::uint32_t pid) {
  const auto text = read_text(path_of(pid, "cmdline"), kArgvLimit);
  if (!text) return std::unexpected(text.error());
  std::vector<std::string> out;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::size_t end = rest.find('\0');
    out.emplace_back(rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return out;
}

Expected<std::string> comm_of(std::uint32_t pid) {
  auto text = read_text(path_of(pid, "comm"), kSmallFile);
  if (text && text->ends_with('\n')) text->pop_back();
  return text;
}

Expected<std::string> exe_of(std::uint32_t pid) { return read_link(path_of(pid, "exe")); }
Expected<std::string> cwd_of(std::uint32_t pid) { return read_link(path_of(pid, "cwd")); }

Expected<ProcStat> parse_stat(std::string_view text) {
  const auto bad = [] { return fail(Errc::protocol, "the stat file of a process is malformed"); };
  // The name may hold anything but stands between the first '(' and the last ')'.
  const std::size_t open = text.find(" (");
  const std::size_t close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2)
    return bad();
  // Counted from the state, which is field 3 of proc_pid_stat(5): parent 4, start time 22.
  const std::string_view rest = text.substr(close + 2);
  const auto pid = number_of<std::uint32_t>(text.substr(0, open));
  const auto parent = number_of<std::uint32_t>(field(rest, 4 - 3));
  const auto start = number_of<std::uint64_t>(field(rest, 22 - 3));
  const std::string_view state = field(rest, 0);
  if (!pid || !parent || !start || state.size() != 1) return bad();
  return ProcStat{.pid = *pid,
                  .comm = std::string(text.substr(open + 2, close - open - 2)),
                  .state = state[0],
                  .parent = *parent,
                  .start_time = *start};
}

Expected<ProcStat> stat_of(std::uint32_t pid) {
  const auto text = read_text(path_of(pid, "stat"), kSmallFile);
  if (!text) return std::unexpected(text.error());
  return parse_stat(*text);
}

Expected<Owner> owner_of(std::uint32_t pid) {
  const auto text = read_text(path_of(pid, "status"), kSmallFile);
  if (!text) return std::unexpected(text.error());
  const auto uid = status_field(*text, "Uid");
  const auto gid = status_field(*text, "Gid");
  if (!uid || !gid) return fail(Errc::protocol, path_of(pid, "status") + " names no owner");
  return Owner{.uid = *uid, .gid = *gid};
}

std::uint64_t OpenFile::socket_inode() const {
  constexpr std::string_view kPrefix = "socket:[";
  if (!target.starts_with(kPrefix) || !target.ends_with(']')) return 0;
  const std::string_view text = std::string_view(target).substr(kPrefix.size());
  return number_of<std::uint64_t>(text.substr(0, text.size() - 1)).value_or(0);
}

Expected<std::vector<OpenFile>> open_files_of(std::uint32_t pid) {
  const std::string folder = path_of(pid, "fd");
  const auto fds = numbered_entries<int>(folder);
  if (!fds && fds.error().code == Errc::permission_denied)
    return std::unexpected(why_unreadable(pid));
  if (!fds) return std::unexpected(fds.error());
  std::vector<OpenFile> out;
  for (const int fd : *fds)
    if (auto target = read_link(fmt::format("{}/{}", folder, fd)))
      out.push_back({.fd = fd, .target = *std::move(target)});
  return out;
}

}  // namespace microvmi::host
