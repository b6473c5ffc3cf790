// SPDX-License-Identifier: Apache-2.0
// One question for all vCPUs; the stub only of a guest that stands still anyway.
#include "driver/qemu/registers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "qemu/info_registers.hpp"

namespace microvmi::qemu_driver {
namespace {

// What the second one knows counts.
void merge(Registers& into, const Registers& from) {
  for (const RegisterInfo& info : kRegisters)
    if (const auto value = from[info.reg]) into.set(info.reg, *value);
}

}  // namespace

Expected<std::vector<VcpuRegisters>> DriverRegisters::from_monitor() {
  const auto text = monitors_.human("info registers -a");
  if (!text) return std::unexpected(text.error());
  const auto states = qemu::parse_info_registers(*text);
  if (!states) return std::unexpected(states.error());
  std::vector<VcpuRegisters> out;
  for (const qemu::CpuState& one : *states) out.push_back({VcpuId{one.index}, one.registers});
  std::ranges::sort(out, {}, &VcpuRegisters::vcpu);
  return out;
}

Expected<void> DriverRegisters::add_stub(std::vector<VcpuRegisters>& known,
                                         qemu::GdbSession& stub) {
  for (const std::uint32_t vcpu : stub.vcpus()) {
    const auto more = stub.read(vcpu);
    if (!more) return std::unexpected(more.error());
    const auto one = std::ranges::find(known, VcpuId{vcpu}, &VcpuRegisters::vcpu);
    if (one == known.end())
      known.push_back({VcpuId{vcpu}, *more});
    else
      merge(one->registers, *more);
  }
  std::ranges::sort(known, {}, &VcpuRegisters::vcpu);
  return {};
}

// Only where no monitor can be had: a guest that runs is stopped for it.
Expected<std::vector<VcpuRegisters>> DriverRegisters::from_stub() {
  const bool attached = attachment_.session() != nullptr;
  const auto stub = attachment_.attach();
  if (!stub) return std::unexpected(stub.error());
  auto result = attachment_.halt();
  std::vector<VcpuRegisters> out;
  if (result) result = add_stub(out, **stub);
  auto left = attached ? attachment_.let_run() : attachment_.detach();
  if (!result) return std::unexpected(std::move(result.error()));
  if (!left) return std::unexpected(std::move(left.error()));
  return out;
}

// What is not known otherwise. A guest that QEMU has stopped keeps its threads to itself: then
// nothing is added.
Expected<void> DriverRegisters::add_msrs(std::vector<VcpuRegisters>& known) {
  constexpr std::chrono::seconds kPatience{1};
  const auto running = msrs_->running();
  if (!running) return std::unexpected(running.error());
  if (!*running) return {};
  for (VcpuRegisters& one : known) {
    auto more = msrs_->read(to_integer(one.vcpu), Wait::at_most(kPatience));
    if (!more && more.error().code == Errc::timed_out) continue;
    if (!more) return std::unexpected(std::move(more.error()));
    merge(*more, one.registers);
    one.registers = *more;
  }
  return {};
}

Expected<std::vector<VcpuRegisters>> DriverRegisters::read_all() {
  auto known = read_without_msrs();
  if (!known || !msrs_) return known;
  if (auto added = add_msrs(*known); !added) return std::unexpected(std::move(added.error()));
  return known;
}

Expected<std::vector<VcpuRegisters>> DriverRegisters::read_without_msrs() {
  auto known = from_monitor();
  if (!known && attachment_.has_stub() && is_out_of_reach(known.error())) return from_stub();
  if (!known) return known;
  // Stopped by us, so that attaching stops nobody; it stays attached until the guest goes on.
  if (run_control_.paused() && !attachment_.session()) {
    const auto attached = attachment_.attach();
    if (!attached && attached.error().code == Errc::disconnected)
      return std::unexpected(attached.error());
  }
  qemu::GdbSession* const stub = attachment_.session();
  if (!stub || stub->is_running()) return known;
  if (auto added = add_stub(*known, *stub); !added)
    return std::unexpected(std::move(added.error()));
  return known;
}

Expected<Registers> DriverRegisters::read(VcpuId vcpu) {
  const auto all = read_all();
  if (!all) return std::unexpected(all.error());
  const auto one = std::ranges::find(*all, vcpu, &VcpuRegisters::vcpu);
  if (one != all->end()) return one->registers;
  return fail(Errc::not_found,
              fmt::format("there is no vCPU {}, but {} of them", to_integer(vcpu), all->size()),
              vcpu);
}

Expected<void> DriverRegisters::write(VcpuId vcpu, const Registers& registers) {
  if (registers.known().none()) {
    const auto there = read(vcpu);
    return there ? Expected<void>{} : std::unexpected(there.error());
  }
  const bool attached = attachment_.session() != nullptr;
  const auto stub = attachment_.attach();
  if (!stub) return std::unexpected(stub.error());
  auto result = attachment_.halt();
  attachment_.note_written();
  if (result) result = (*stub)->write(to_integer(vcpu), registers);
  auto left = attached ? attachment_.let_run() : attachment_.detach();
  return result ? std::move(left) : std::move(result);
}

}  // namespace microvmi::qemu_driver
