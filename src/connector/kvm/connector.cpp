// SPDX-License-Identifier: Apache-2.0
// The row of kvm in the registry.
#include <fmt/format.h>

#include "connector/kvm/guest.hpp"
#include "connector/kvm/scan.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi::kvm_connector {
namespace {

std::string list_of_running() {
  const auto found = find_vms();
  std::string out;
  if (found)
    for (const VmProcess& one : *found)
      out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", one.pid, name_of(one));
  return out.empty() ? "none that you may see" : out;
}

Expected<VmProcess> select(const DriverInitParams& params) {
  const GuestChoice choice = guest_choice(params, Connector::kvm);
  if (!choice.pid)
    return fail(Errc::not_applicable, "memflow.kvm.pid is required; running: " + list_of_running());
  auto process = vm_of(choice.pid->value());
  if (process && choice.vm_name && process->name && *choice.vm_name != *process->name)
    return fail(Errc::invalid_argument,
                fmt::format("{} is not {:?}", to_text(*process), *choice.vm_name), {},
                "leave out the name or the pid");
  return process;
}

Intrusive intrusive_in(const DriverInitParams& params) {
  if (params.memflow && params.memflow->args)
    if (const auto* own = std::get_if<KvmConnectorParams>(&*params.memflow->args))
      return own->intrusive;
  return Intrusive::sync_regs;
}

Expected<Readiness> probe(const DriverInitParams& params) {
  const auto process = select(params);
  if (!process) return std::unexpected(process.error());
  return Readiness{.note = to_text(*process)};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  const auto process = select(params);
  if (!process) return std::unexpected(process.error());
  return Guest::open(*process, intrusive_in(params), options);
}

}  // namespace

extern const ConnectorInfo kConnector;
constinit const ConnectorInfo kConnector{.type = Connector::kvm,
                                         .summary = "KVM guest of any program, by its process",
                                         .probe = probe,
                                         .open = open,
                                         .scan = scan,
                                         .candidates = candidates};

}  // namespace microvmi::kvm_connector
