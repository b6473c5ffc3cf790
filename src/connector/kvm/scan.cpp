// SPDX-License-Identifier: Apache-2.0
// From /proc alone.
#include "connector/kvm/scan.hpp"

#include "connector/kvm/find.hpp"
#include "microvmi/param/key.hpp"

namespace microvmi::kvm_connector {

std::vector<Found> scan(const ScanOptions& options) {
  std::vector<Found> out;
  const auto found = find_vms();
  if (!found) {
    if (options.log) options.log("kvm: " + microvmi::to_text(found.error()));
    return out;
  }
  for (const VmProcess& one : *found)
    out.push_back({.driver = DriverType::memflow,
                   .connector = Connector::kvm,
                   .vm_name = one.name,
                   .pid = one.pid,
                   .vcpus = one.vcpus,
                   .facts = {{"program", one.program}},
                   .params = {{.key = "memflow.connector", .value = "kvm"},
                              {.key = "memflow.kvm.pid", .value = std::to_string(one.pid)}}});
  return out;
}

std::vector<Suggestion> candidates(std::string_view key) {
  std::vector<Suggestion> out;
  if (!param::same_key(key, "memflow.kvm.pid")) return out;
  const auto found = find_vms();
  if (!found) return out;
  for (const VmProcess& one : *found) out.push_back({std::to_string(one.pid), name_of(one)});
  return out;
}

}  // namespace microvmi::kvm_connector
