// SPDX-License-Identifier: Apache-2.0
// Readers of /proc/PID/task/TID.
#include "host/linux/tasks.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>

#include "host/linux/descriptor.hpp"
#include "host/linux/number.hpp"

namespace microvmi::host {
namespace {

// A VMM with more threads than this is none that we know.
constexpr std::size_t kMostTasks = 65'536;

std::string path_of(const Process& process, std::uint32_t tid, const char* name) {
  return fmt::format("/proc/self/fd/{}/task/{}/{}", process.directory(), tid, name);
}

// The words of a line.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> out;
  constexpr std::string_view kBlank = " \t\n";
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    if (line.empty()) return out;
    out.push_back(line.substr(0, line.find_first_of(kBlank)));
    line.remove_prefix(out.back().size());
  }
}

std::optional<std::uint64_t> hex_of(std::string_view word) {
  if (!word.starts_with("0x")) return std::nullopt;
  return number_of<std::uint64_t>(word.substr(2), 16);
}

}  // namespace

Expected<std::vector<std::uint32_t>> tasks_of(const Process& process) {
  const std::string path = fmt::format("/proc/self/fd/{}/task", process.directory());
  const auto close = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close)> dir(::opendir(path.c_str()), close);
  if (!dir)
    return system_failure(errno,
                          fmt::format("cannot list the threads of process {}", process.pid()));
  std::vector<std::uint32_t> out;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (const auto number = number_of<std::uint32_t>(entry->d_name)) out.push_back(*number);
    if (out.size() > kMostTasks)
      return fail(Errc::protocol,
                  fmt::format("process {} has more than {} threads", process.pid(), kMostTasks));
  }
  std::ranges::sort(out);
  return out;
}

Expected<TaskCall> parse_task_call(std::string_view text) {
  const auto words = words_of(text);
  TaskCall out;
  if (words.size() == 1 && words[0] == "running") {
    out.running = true;
    return out;
  }
  const auto number = words.empty() ? std::nullopt : number_of<std::int64_t>(words[0]);
  const bool inside = number && *number >= 0;
  if (!number || words.size() != (inside ? 9U : 3U))
    return fail(Errc::protocol, "the kernel describes a system call in an unknown form");
  out.number = *number;
  std::vector<std::uint64_t> values;
  for (const std::string_view word : std::span(words).subspan(1)) {
    const auto value = hex_of(word);
    if (!value) return fail(Errc::protocol, "the kernel describes a system call without numbers");
    values.push_back(*value);
  }
  if (inside) std::copy_n(values.begin(), out.arguments.size(), out.arguments.begin());
  out.pc = values.back();
  out.sp = values[values.size() - 2];
  return out;
}

Expected<TaskCall> task_call(const Process& process, std::uint32_t tid) {
  const auto text = read_text(path_of(process, tid, "syscall"), kSmallFile);
  return text ? parse_task_call(*text) : std::unexpected(text.error());
}

Expected<TaskCallFile> TaskCallFile::open(const Process& process, std::uint32_t tid) {
  const std::string path = path_of(process, tid, "syscall");
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return system_failure(errno, "cannot open " + path);
  return TaskCallFile(std::move(file));
}

Expected<TaskCall> TaskCallFile::read() const {
  std::array<char, 512> text;  // NOLINT(*-member-init): ten numbers, which are read into it
  const ssize_t size = ::pread(file_.get(), text.data(), text.size(), 0);
  if (size < 0) return system_failure(errno, "cannot read the system call of a thread");
  return parse_task_call({text.data(), static_cast<std::size_t>(size)});
}

std::uint64_t parse_guest_ticks(std::string_view stat) {
  constexpr std::size_t kGuestTime = 43 - 3;  // the first word behind the name is field 3
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return 0;
  const auto words = words_of(stat.substr(name_end + 1));
  return words.size() > kGuestTime ? number_of<std::uint64_t>(words[kGuestTime]).value_or(0) : 0;
}

Expected<std::uint64_t> guest_ticks(const Process& process, std::uint32_t tid) {
  const auto text = read_text(path_of(process, tid, "stat"), kSmallFile);
  if (!text) return std::unexpected(text.error());
  return parse_guest_ticks(*text);
}

TaskStatus parse_task_status(std::string_view text) {
  TaskStatus out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    // There are sixty lines.
    constexpr std::array<std::string_view, 4> kWanted{"Seccomp:", "TracerPid:", "x86_Thread",
                                                      "voluntary_"};
    if (std::ranges::none_of(kWanted, [line](auto name) { return line.starts_with(name); }))
      continue;
    const auto words = words_of(line);
    if (words.size() < 2) continue;
    if (words[0] == "Seccomp:") out.seccomp = words[1] != "0";
    if (words[0] == "TracerPid:") out.tracer = number_of<std::uint32_t>(words[1]).value_or(0);
    if (words[0] == "x86_Thread_features:")
      out.shadow_stack = std::ranges::find(words, "shstk") != words.end();
    if (words[0] == "voluntary_ctxt_switches:")
      out.switches = number_of<std::uint64_t>(words[1]).value_or(0);
  }
  return out;
}

Expected<TaskStatus> task_status(const Process& process, std::uint32_t tid) {
  const auto text = read_text(path_of(process, tid, "status"), kSmallFile);
  if (!text) return std::unexpected(text.error());
  return parse_task_status(*text);
}

Expected<std::string> task_name(const Process& process, std::uint32_t tid) {
  auto text = read_text(path_of(process, tid, "comm"), kSmallFile);
  if (text && text->ends_with('\n')) text->pop_back();
  return text;
}

}  // namespace microvmi::host
