// SPDX-License-Identifier: Apache-2.0
// From /proc alone, or with a short question to every monitor at once.
#include "connector/qemu_procfs/scan.hpp"

#include <algorithm>
#include <array>

#include "connector/qemu_procfs/facts.hpp"
#include "microvmi/param/key.hpp"
#include "qemu/find.hpp"
#include "qemu/monitors.hpp"
#include "qemu/query.hpp"

namespace microvmi::qemu_procfs_connector {
namespace {

using qemu::QemuProcess;

constexpr std::chrono::milliseconds kMonitorTime{20};

Found row_of(const QemuProcess& process) {
  Found out{.driver = DriverType::memflow, .connector = Connector::qemu_procfs, .pid = process.pid};
  if (!process.line.name.empty()) out.vm_name = process.line.name;
  out.vcpus = process.line.vcpus;
  out.facts = facts_of(process);
  out.params = {{.key = "memflow.connector", .value = "qemu-procfs"},
                {.key = "memflow.qemu-procfs.pid", .value = std::to_string(process.pid)}};
  return out;
}

// query-status of every monitor, and whose answer is whose.
class Questions {
 public:
  void add(std::size_t row, const QemuProcess& process) {
    for (const qemu::Monitor& monitor : qemu::monitors_of(process.line, process.pid)) {
      questions_.push_back({monitor, {.name = "query-status"}});
      rows_.push_back(row);
    }
  }

  void answer(std::vector<Found>& rows, const Wait& wait) const {
    const auto answers = qemu::ask_all(questions_, kMonitorTime, wait);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (!answers[i]) continue;
      if (const auto status = qemu::parse_status(*answers[i]))
        rows[rows_[i]].running = status->running;
    }
  }

 private:
  std::vector<qemu::Question> questions_;
  std::vector<std::size_t> rows_;  // of the guest that each question is about
};

bool is_one_of(std::string_view key, std::span<const std::string_view> keys) {
  return std::ranges::any_of(keys, [&](auto one) { return param::same_key(key, one); });
}

Suggestion pid_of(const QemuProcess& one) { return {std::to_string(one.pid), one.line.name}; }

Suggestion name_of(const QemuProcess& one) {
  return {one.line.name, "pid " + std::to_string(one.pid)};
}

}  // namespace

std::vector<Found> scan(const ScanOptions& options) {
  std::vector<Found> out;
  const auto found = qemu::find_processes();
  if (!found) {
    if (options.log) options.log("qemu-procfs: " + microvmi::to_text(found.error()));
    return out;
  }
  Questions questions;
  for (const QemuProcess& process : *found) {
    if (process.unreadable) {
      if (options.log)
        options.log("qemu-procfs: " + to_text(process) + ": " +
                    microvmi::to_text(*process.unreadable));
      continue;
    }
    if (options.ask_monitors) questions.add(out.size(), process);
    out.push_back(row_of(process));
  }
  if (options.ask_monitors) questions.answer(out, options.wait);
  return out;
}

std::vector<Suggestion> candidates(std::string_view key) {
  constexpr std::array<std::string_view, 3> kPids{"pid", "memflow.qemu-procfs.pid", "qemu.pid"};
  constexpr std::array<std::string_view, 3> kNames{"vm-name", "memflow.qemu-procfs.vm-name",
                                                   "qemu.vm-name"};
  const bool pids = is_one_of(key, kPids);
  std::vector<Suggestion> out;
  if (!pids && !is_one_of(key, kNames)) return out;
  const auto found = qemu::find_processes();
  if (!found) return out;
  for (const QemuProcess& one : *found) {
    if (pids || !one.line.name.empty()) out.push_back(pids ? pid_of(one) : name_of(one));
    if (!out.empty() && one.unreadable) out.back().note += ", not readable by you";
  }
  return out;
}

}  // namespace microvmi::qemu_procfs_connector
