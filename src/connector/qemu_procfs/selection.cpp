// SPDX-License-Identifier: Apache-2.0
// Own keys before common ones; a pid is looked at alone, a name among all that run.
#include "connector/qemu_procfs/selection.hpp"

#include <algorithm>

namespace microvmi::qemu_procfs_connector {
namespace {

template <class Params>
void fill(qemu::Wanted& wanted, const Params& params) {
  if (!wanted.name) wanted.name = params.vm_name;
  if (!wanted.pid && params.pid) wanted.pid = params.pid->value();
}

// memflow's own connector takes a pid where a name is meant; a guest of that name comes first.
qemu::Wanted as_pid(const std::string& name) {
  return {.name = std::nullopt, .pid = qemu::parse_number(name)};
}

}  // namespace

QemuProcfsParams own_params(const DriverInitParams& params) {
  if (params.memflow && params.memflow->args)
    if (const auto* own = std::get_if<QemuProcfsParams>(&*params.memflow->args)) return *own;
  return {};
}

qemu::Wanted wanted_of(const DriverInitParams& params) {
  qemu::Wanted out;
  fill(out, own_params(params));
  if (params.common) fill(out, *params.common);
  return out;
}

Expected<qemu::QemuProcess> select(const qemu::Wanted& wanted) {
  if (wanted.pid) {
    const auto one = qemu::process_of(*wanted.pid);
    if (!one) return std::unexpected(one.error());
    return qemu::choose(std::span(&*one, 1), wanted);
  }
  const auto found = qemu::find_processes();
  if (!found) return std::unexpected(found.error());
  auto chosen = qemu::choose(*found, wanted);
  if (chosen || !wanted.name || chosen.error().code != Errc::not_found) return chosen;
  const qemu::Wanted pid = as_pid(*wanted.name);
  const bool runs = pid.pid && std::ranges::any_of(*found, [&](const qemu::QemuProcess& one) {
                      return one.pid == *pid.pid;
                    });
  return runs ? qemu::choose(*found, pid) : chosen;
}

}  // namespace microvmi::qemu_procfs_connector
