// SPDX-License-Identifier: Apache-2.0
// Opening: hold the process, find its layout, tell what became known on the way.
#include "connector/qemu_procfs/guest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "connector/qemu_procfs/facts.hpp"
#include "qemu/monitors.hpp"

namespace microvmi::qemu_procfs_connector {
namespace {

using qemu::LayoutFinder;
using qemu::QemuProcess;

class Facts {
 public:
  explicit Facts(GuestInfo& info) : info_(info) {}

  void add(std::vector<Fact> facts) { std::ranges::move(facts, std::back_inserter(info_.facts)); }

  void add(const char* name, std::string value) {
    if (!value.empty()) info_.facts.push_back({name, std::move(value)});
  }

  // Answers that do not come are left out: all of this is beside the point of opening.
  void of_monitor(const qemu::Monitor& monitor, const Wait& wait) {
    const auto ask = [&](const char* command) {
      return qemu::ask(monitor, {.name = command}, wait.within(qemu::kCommandTime));
    };
    if (const auto answer = ask("query-status"))
      if (auto status = qemu::parse_status(*answer)) add("run_state", std::move(status->name));
    if (const auto answer = ask("query-version"))
      if (const auto version = qemu::parse_version(*answer))
        add("qemu_version",
            fmt::format("{}.{}.{}", version->major, version->minor, version->micro));
    if (const auto answer = ask("query-cpus-fast"))
      if (const auto cpus = qemu::parse_cpus(*answer))
        info_.vcpus = static_cast<std::uint32_t>(cpus->size());
    if (!info_.vm_name)
      if (const auto answer = ask("query-name"))
        if (auto name = qemu::parse_name(*answer)) info_.vm_name = *std::move(name);
  }

 private:
  GuestInfo& info_;
};

// map-base and map-size go together, which the parameters have checked.
std::optional<qemu::GivenRam> given_in(const QemuProcfsParams& params) {
  if (!params.map_base || !params.map_size) return std::nullopt;
  return qemu::GivenRam{*params.map_base, params.map_size->bytes};
}

const char* source_of(const LayoutFinder& finder, const QemuProcfsParams& params) {
  if (params.map_base) return "map_base";
  return finder.monitor() ? "qmp" : "command_line";
}

GuestInfo describe(const QemuProcess& process, const LayoutFinder& finder,
                   const host::ProcessMemory& memory, const Wait& wait) {
  GuestInfo info{.pid = process.pid, .vcpus = process.line.vcpus, .connector = "qemu-procfs"};
  if (!process.line.name.empty()) info.vm_name = process.line.name;
  Facts facts(info);
  facts.add(facts_of(process));
  facts.add("memory_mode", memory.viewable() ? "view" : "copy");
  if (finder.monitor()) facts.of_monitor(*finder.monitor(), wait);
  facts.add("note", fmt::format("{}", fmt::join(finder.notes(), "; ")));
  return info;
}

}  // namespace

Expected<std::unique_ptr<Driver>> Guest::open(const QemuProcess& process,
                                              const QemuProcfsParams& params,
                                              const InitOptions& options) {
  const auto log = [&](const std::string& line) {
    if (options.log) options.log("qemu-procfs: " + line);
  };
  auto held = host::Process::open(process.pid, process.start_time);
  if (!held) return std::unexpected(held.error());
  auto opened = LayoutFinder::open(process, given_in(params));
  if (!opened) return std::unexpected(opened.error());
  const auto finder = std::make_shared<LayoutFinder>(*std::move(opened));
  // The first look has the caller's patience, later ones that of a few commands.
  const auto wait = std::make_shared<std::optional<Wait>>(options.wait);
  const auto find = [finder, wait] {
    return finder->find(wait->value_or(Wait::at_most(5 * qemu::kCommandTime)));
  };
  const bool plain = params.copy == GuestCopy::plain;
  auto memory = host::ProcessMemory::open(*std::move(held), find,
                                          plain ? host::CopyMode::reads : host::CopyMode::mapping);
  if (!memory) return std::unexpected(memory.error());
  wait->reset();
  GuestInfo info = describe(process, *finder, **memory, options.wait);
  info.facts.push_back({"layout_source", source_of(*finder, params)});
  if (!finder->monitor() && qemu::monitors_of(process).empty())
    info.facts.push_back(
        {"hint", "for pausing start QEMU with a QMP socket: " + std::string(qemu::kQmpOption)});
  log("opened " + to_text(process) + (finder->monitor() ? " with its monitor" : " from /proc"));
  for (const std::string& note : finder->notes()) log(note);
  std::unique_ptr<RunControl> run_control;
  if (const qemu::Monitor* monitor = finder->monitor())
    run_control = std::make_unique<qemu::QmpRunControl>(*monitor);
  return std::unique_ptr<Driver>(
      new Guest(*std::move(memory), std::move(run_control), std::move(info)));
}

}  // namespace microvmi::qemu_procfs_connector
