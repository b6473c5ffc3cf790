// SPDX-License-Identifier: Apache-2.0
// Asks vCPU by vCPU, as far as the guest says that there are any.
#include "dump/guest_state.hpp"

namespace microvmi::dumper {
namespace {

constexpr std::uint32_t kMostVcpus = 4096;  // what a note segment of a few MiB has room for

}  // namespace

StateRead read_state(Vm& vm) {
  StateRead out;
  const GuestInfo info = vm.info();
  out.state.vmcoreinfo = info.vmcoreinfo;
  if (!vm.driver().registers()) return out;
  const std::uint32_t wanted = std::min(info.vcpus.value_or(kMostVcpus), kMostVcpus);
  for (std::uint32_t i = 0; i < wanted; ++i) {
    auto registers = vm.read_registers(VcpuId{i});
    if (registers) {
      out.state.vcpus.push_back(*std::move(registers));
      continue;
    }
    // One that the guest could have and that is not there has none; where nobody knows how many
    // there could be, it is the end.
    if (i != 0 && registers.error().code == Errc::not_found) {
      if (info.vcpus) continue;
      break;
    }
    out.state.vcpus.clear();
    out.no_registers = std::move(registers.error());
    break;
  }
  return out;
}

}  // namespace microvmi::dumper
