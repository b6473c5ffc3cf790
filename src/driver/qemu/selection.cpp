// SPDX-License-Identifier: Apache-2.0
// Own keys before common ones; the connector finds the process.
#include "driver/qemu/selection.hpp"

#include "connector/qemu_procfs/selection.hpp"

namespace microvmi::qemu_driver {
namespace {

template <class Params>
void fill(qemu::Wanted& wanted, const Params& params) {
  if (!wanted.name) wanted.name = params.vm_name;
  if (!wanted.pid && params.pid) wanted.pid = params.pid->value();
}

// As the user wrote it, for a file of that name is what this process sees.
qemu::Endpoint socket_at(const std::filesystem::path& path) {
  std::error_code none;
  const auto whole = std::filesystem::absolute(path, none);
  return {qemu::Endpoint::Kind::unix_path, (none ? path : whole).string()};
}

}  // namespace

QemuInitParams own_params(const DriverInitParams& params) {
  return params.qemu.value_or(QemuInitParams{});
}

bool may_inject(const DriverInitParams& params, std::uint32_t pid) {
  if (!params.memflow || !params.memflow->args) return false;
  const auto* kvm = std::get_if<KvmConnectorParams>(&*params.memflow->args);
  return kvm && kvm->intrusive == Intrusive::inject && kvm->pid->value() == pid;
}

qemu::Wanted wanted_of(const DriverInitParams& params) {
  qemu::Wanted out;
  fill(out, own_params(params));
  if (params.common) fill(out, *params.common);
  return out;
}

Expected<qemu::QemuProcess> select(const DriverInitParams& params) {
  auto process = qemu_procfs_connector::select(wanted_of(params));
  if (process && params.qemu && params.qemu->qmp)
    process->given_monitor = socket_at(*params.qemu->qmp);
  return process;
}

}  // namespace microvmi::qemu_driver
