// SPDX-License-Identifier: Apache-2.0
// One QEMU of those that run, by pid, by name, or the first.
#include <fmt/format.h>

#include <algorithm>

#include "qemu/find.hpp"

namespace microvmi::qemu {
namespace {

using Pointers = std::vector<const QemuProcess*>;

std::string list(const Pointers& processes) {
  std::string out;
  for (const QemuProcess* one : processes) out += (out.empty() ? "" : ", ") + to_text(*one);
  return out;
}

Pointers pointers(std::span<const QemuProcess> found) {
  Pointers out;
  for (const QemuProcess& one : found) out.push_back(&one);
  return out;
}

Expected<QemuProcess> readable(const QemuProcess& process) {
  if (!process.unreadable) return process;
  Error error = *process.unreadable;
  error.message.insert(0, to_text(process) + ": ");
  return std::unexpected(std::move(error));
}

Expected<QemuProcess> by_pid(std::span<const QemuProcess> found, std::uint32_t pid,
                             const Wanted& wanted) {
  const auto one = std::ranges::find(found, pid, &QemuProcess::pid);
  if (one == found.end()) return fail(Errc::not_found, fmt::format("pid {} is no QEMU", pid));
  if (wanted.name && *wanted.name != one->line.name)
    return fail(Errc::invalid_argument,
                fmt::format("pid {} is {}, not {:?}", one->pid,
                            one->line.name.empty() ? "a guest without a name"
                                                   : fmt::format("{:?}", one->line.name),
                            *wanted.name),
                {}, "leave out the name or the pid");
  return readable(*one);
}

Expected<QemuProcess> by_name(std::span<const QemuProcess> found, const std::string& name) {
  Pointers matching;
  for (const QemuProcess& one : found)
    if (one.line.name == name) matching.push_back(&one);
  if (matching.size() == 1) return readable(*matching.front());
  if (!matching.empty())
    return fail(
        Errc::invalid_argument,
        fmt::format("{} guests have the name {:?}: {}", matching.size(), name, list(matching)), {},
        "choose one by its pid");
  return fail(Errc::not_found, fmt::format("no QEMU runs a guest {:?}; running: {}", name,
                                           found.empty() ? "none" : list(pointers(found))));
}

}  // namespace

std::string in_one_line(const std::string& text) {
  const std::string quoted = fmt::format("{:?}", text);
  return quoted.substr(1, quoted.size() - 2);
}

std::string to_text(const QemuProcess& process) {
  return fmt::format("pid {} ({})", process.pid,
                     process.line.name.empty() ? "without a name" : in_one_line(process.line.name));
}

Expected<QemuProcess> choose(std::span<const QemuProcess> found, const Wanted& wanted) {
  if (wanted.pid) return by_pid(found, *wanted.pid, wanted);
  if (wanted.name) return by_name(found, *wanted.name);
  if (found.empty()) return fail(Errc::not_found, "no QEMU process runs on this host");
  const auto first = std::ranges::find_if_not(
      found, [](const QemuProcess& one) { return one.unreadable.has_value(); });
  return readable(first == found.end() ? found.front() : *first);
}

}  // namespace microvmi::qemu
