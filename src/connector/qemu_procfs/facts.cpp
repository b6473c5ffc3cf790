// SPDX-License-Identifier: Apache-2.0
// Facts from the command line and the mappings.
#include "connector/qemu_procfs/facts.hpp"

#include <fmt/format.h>

#include "qemu/machine.hpp"
#include "qemu/placement.hpp"

namespace microvmi::qemu_procfs_connector {
namespace {

using qemu::QemuProcess;

const char* name_of(qemu::RamBackend::Kind kind) {
  switch (kind) {
    case qemu::RamBackend::Kind::ram:
      return "ram";
    case qemu::RamBackend::Kind::memfd:
      return "memfd";
    case qemu::RamBackend::Kind::file:
      return "file";
    case qemu::RamBackend::Kind::other:
      break;
  }
  return "other";
}

// "mem0=memfd,shared mem1=ram"; of a guest without -object nothing.
std::string backends_of(const qemu::CommandLine& line) {
  std::string out;
  for (const qemu::RamBackend& one : line.backends)
    out += fmt::format("{}{}={}{}", out.empty() ? "" : " ", one.id, name_of(one.kind),
                       one.shared ? ",shared" : "");
  return out;
}

// Of a list such as kvm:tcg the first that works is taken; KVM shows in the mappings.
std::string accelerator_of(const QemuProcess& process) {
  const auto maps = host::read_maps(process.pid);
  if (maps && qemu::uses_kvm(*maps)) return "kvm";
  const auto& listed = process.line.accelerators;
  return listed.empty() || listed.back() == "kvm" ? "tcg" : listed.back();
}

}  // namespace

std::vector<Fact> facts_of(const QemuProcess& process) {
  std::vector<Fact> out;
  const auto add = [&out](const char* name, std::string value) {
    if (!value.empty()) out.push_back({name, std::move(value)});
  };
  const qemu::CommandLine& line = process.line;
  const auto machine = qemu::machine_of(line, process.program);
  add("machine", machine ? machine->name : line.machine.text("type"));
  add("architecture", qemu::architecture_of(line, process.program));
  add("accelerator", accelerator_of(process));
  add("memory_backends", backends_of(line));
  add("uuid", line.uuid);
  add("program", process.program);
  return out;
}

}  // namespace microvmi::qemu_procfs_connector
