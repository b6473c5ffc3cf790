// SPDX-License-Identifier: Apache-2.0
// HVM and PVH guests have a record for each vCPU in the context that Xen saves, PV guests the
// context that a vCPU was started with.
#include "driver/xen/vcpu_state.hpp"

#include <fmt/format.h>

#include <array>

#include "driver/xen/run_control.hpp"
#include "driver/xen/state.hpp"

namespace microvmi::xen {

Expected<void> VcpuState::check(VcpuId vcpu) {
  const auto now = guest_.look();
  if (!now) return std::unexpected(now.error());
  if (to_integer(vcpu) >= now->vcpus)
    return fail(Errc::not_found,
                fmt::format("there is no vcpu {}: the guest has {}", to_integer(vcpu), now->vcpus),
                vcpu);
  VcpuFacts facts;
  if (const Errno error = guest_.xen().vcpu(guest_.domid(), to_integer(vcpu), facts); error != 0)
    return guest_.failure(error, fmt::format("look at vcpu {}", to_integer(vcpu)), vcpu);
  if (facts.online) return {};
  return fail(Errc::not_found, fmt::format("vcpu {} is offline", to_integer(vcpu)), vcpu);
}

Expected<void> VcpuState::check_width() {
  unsigned width = 0;
  if (const Errno error = guest_.xen().guest_width(guest_.domid(), width); error != 0)
    return guest_.failure(error, "ask for the width of registers");
  if (width == 8) return {};
  return fail(Errc::not_supported, "registers of 32-bit PV guests are not known to this driver");
}

Expected<Registers> VcpuState::read_hvm(std::uint32_t vcpu) {
  std::array<std::byte, kHvmCpuSize> record{};
  if (const Errno error = guest_.xen().hvm_record(guest_.domid(), kHvmCpuCode, vcpu, record);
      error != 0)
    return guest_.failure(error, fmt::format("read the registers of vcpu {}", vcpu), VcpuId{vcpu});
  Registers out = registers_of_hvm(record);
  read_rest(vcpu, out);
  return out;
}

// Registers with a record of their own. Xen wants room for the whole of it; a guest without XSAVE
// has none.
void VcpuState::read_rest(std::uint32_t vcpu, Registers& into) {
  struct Rest {
    Reg reg;
    std::uint16_t code;
    std::size_t size;
    std::size_t offset;
  };
  constexpr std::array kRest{Rest{Reg::apic_base, kHvmLapicCode, kHvmLapicSize, 0},
                             Rest{Reg::xcr0, kHvmXsaveCode, kHvmXsaveMost, 8}};
  std::vector<std::byte> record(kHvmXsaveMost);
  for (const Rest& one : kRest) {
    const auto room = std::span(record).first(one.size);
    if (guest_.xen().hvm_record(guest_.domid(), one.code, vcpu, room) == 0)
      into.set(one.reg, load(room, one.offset, 8));
  }
}

Expected<Registers> VcpuState::read_pv(std::uint32_t vcpu) {
  if (auto done = check_width(); !done) return std::unexpected(std::move(done.error()));
  std::array<std::byte, kPvContextSize> context{};
  if (const Errno error = guest_.xen().pv_context(guest_.domid(), vcpu, context); error != 0)
    return guest_.failure(error, fmt::format("read the registers of vcpu {}", vcpu), VcpuId{vcpu});
  return registers_of_pv(context);
}

Expected<Registers> VcpuState::read(VcpuId vcpu) {
  if (auto done = check(vcpu); !done) return std::unexpected(std::move(done.error()));
  if (!guest_.is_hvm()) return read_pv(to_integer(vcpu));
  auto out = read_hvm(to_integer(vcpu));
  const Registers* const written = events_ ? events_->written(to_integer(vcpu)) : nullptr;
  if (out && written)
    for (const RegisterInfo& info : kRegisters)
      if (const auto value = (*written)[info.reg]) out->set(info.reg, *value);
  return out;
}

// Those that are offline have none.
Expected<std::vector<VcpuRegisters>> VcpuState::read_all() {
  const auto now = guest_.look();
  if (!now) return std::unexpected(now.error());
  std::vector<VcpuRegisters> out;
  for (std::uint32_t i = 0; i < now->vcpus; ++i) {
    auto one = read(VcpuId{i});
    if (one) out.push_back({VcpuId{i}, *one});
    if (!one && one.error().code != Errc::not_found) return std::unexpected(std::move(one.error()));
  }
  return out;
}

// Xen takes back the context as a whole, of a guest that stands still.
Expected<void> VcpuState::write_hvm(std::uint32_t vcpu, const Registers& wanted) {
  const std::string what = fmt::format("write the registers of vcpu {}", vcpu);
  const Standstill still(guest_);
  if (still.error() != 0) return guest_.failure(still.error(), what, VcpuId{vcpu});
  std::vector<std::byte> context;
  if (const Errno error = guest_.xen().hvm_context(guest_.domid(), context); error != 0)
    return guest_.failure(error, what, VcpuId{vcpu});
  const auto record = hvm_record_in(context, kHvmCpuCode, static_cast<std::uint16_t>(vcpu));
  if (record.size() < kHvmCpuSize)
    return fail(Errc::protocol, fmt::format("the saved context has no record of vcpu {}", vcpu),
                VcpuId{vcpu});
  if (auto done = change_hvm(record, wanted); !done) return done;
  if (const Errno error = guest_.xen().set_hvm_context(guest_.domid(), context); error != 0)
    return guest_.failure(error, what, VcpuId{vcpu});
  return {};
}

Expected<void> VcpuState::write_pv(std::uint32_t vcpu, const Registers& wanted) {
  if (auto done = check_width(); !done) return done;
  const std::string what = fmt::format("write the registers of vcpu {}", vcpu);
  const Standstill still(guest_);
  if (still.error() != 0) return guest_.failure(still.error(), what, VcpuId{vcpu});
  std::array<std::byte, kPvContextSize> context{};
  if (const Errno error = guest_.xen().pv_context(guest_.domid(), vcpu, context); error != 0)
    return guest_.failure(error, what, VcpuId{vcpu});
  if (auto done = change_pv(context, wanted); !done) return done;
  if (const Errno error = guest_.xen().set_pv_context(guest_.domid(), vcpu, context); error != 0)
    return guest_.failure(error, what, VcpuId{vcpu});
  return {};
}

Expected<void> VcpuState::write(VcpuId vcpu, const Registers& registers) {
  if (auto done = check(vcpu); !done) return done;
  const std::uint32_t index = to_integer(vcpu);
  if (!guest_.is_hvm()) return write_pv(index, registers);
  if (!events_ || !events_->written(index)) return write_hvm(index, registers);
  Registers now;
  Registers later;
  for (const RegisterInfo& info : kRegisters) {
    Registers one;
    if (const auto value = registers[info.reg]) one.set(info.reg, *value);
    if (one.known().none()) continue;
    (fits_event(one) ? later : now).set(info.reg, *one[info.reg]);
  }
  if (now.known().any())
    if (auto done = write_hvm(index, now); !done) return done;
  static_cast<void>(events_->write(index, later));
  return {};
}

Expected<void> VcpuState::write_context(std::uint32_t vcpu, const Registers& wanted) {
  return write_hvm(vcpu, wanted);
}

Expected<void> VcpuState::inject(VcpuId vcpu, const Exception& exception) {
  // INT3 and INTO are instructions (Intel SDM vol. 3A 6.4); HVMOP_TRAP_* of xen/hvm/hvm_op.h.
  constexpr std::uint8_t kHardware = 3;
  constexpr std::uint8_t kSoftware = 6;
  constexpr std::uint32_t kNoErrorCode = ~0U;
  if (auto done = check(vcpu); !done) return done;
  const bool software = exception.vector == 3 || exception.vector == 4;
  const Trap trap{.vcpu = to_integer(vcpu),
                  .vector = exception.vector,
                  .type = software ? kSoftware : kHardware,
                  .error_code = exception.error_code.value_or(kNoErrorCode),
                  .length = static_cast<std::uint8_t>(software ? 1 : 0),
                  .extra = to_integer(exception.address.value_or(Gva{}))};
  if (const Errno error = guest_.xen().inject(guest_.domid(), trap); error != 0)
    return guest_.failure(error, fmt::format("inject exception {}", exception.vector), vcpu);
  return {};
}

}  // namespace microvmi::xen
