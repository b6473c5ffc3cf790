// SPDX-License-Identifier: Apache-2.0
// get_registers leaves the guest running; set_registers wants the vCPU to wait in an event.
#include "driver/kvm/vcpu_state.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace microvmi::kvm {
namespace {

Bytes msr_list(std::span<const std::uint32_t> msrs) {
  Bytes out(4 * msrs.size());
  for (std::size_t i = 0; i < msrs.size(); ++i) store(out, 4 * i, 4, msrs[i]);
  return out;
}

Request get_request(std::uint16_t vcpu, std::size_t msrs, ByteSpan list) {
  Request out(Command::get_registers, {{Field::vcpu, vcpu}, {Field::count, msrs}});
  out.tail = list;
  return out;
}

}  // namespace

Expected<Registers> VcpuState::read_with(std::uint16_t vcpu, std::span<const std::uint32_t> msrs) {
  const Bytes list = msr_list(msrs);
  const auto data = connection_.call(get_request(vcpu, msrs.size(), list), answer_wait());
  if (!data) return std::unexpected(data.error());
  return registers_of_answer(*data, msrs);
}

// One unknown MSR spoils the whole command: each is tried alone, once.
Expected<void> VcpuState::find_msrs(std::uint16_t vcpu) {
  const Bytes list = msr_list(msrs_);
  std::vector<Request> requests;
  for (std::size_t i = 0; i < msrs_.size(); ++i)
    requests.push_back(get_request(vcpu, 1, std::span(list).subspan(4 * i, 4)));
  if (auto done = connection_.run(requests, answer_wait()); !done) return done;
  std::vector<std::uint32_t> known;
  for (std::size_t i = 0; i < msrs_.size(); ++i)
    if (requests[i].code == 0) known.push_back(msrs_[i]);
  msrs_ = std::move(known);
  return {};
}

Expected<Registers> VcpuState::read(VcpuId vcpu) {
  const auto index = vcpus_.index_of(vcpu);
  if (!index) return std::unexpected(index.error());
  auto registers = read_with(*index, msrs_);
  if (!registers && registers.error().code == Errc::invalid_argument && !msrs_.empty()) {
    if (auto done = find_msrs(*index); !done) return std::unexpected(std::move(done.error()));
    registers = read_with(*index, msrs_);
  }
  if (!registers) {
    registers.error().where = vcpu;
    return registers;
  }
  if (const auto written = vcpus_.written(*index)) show(*written, *registers);
  return registers;
}

Expected<void> VcpuState::write_waiting(std::uint16_t vcpu, const Registers& registers) {
  auto regs = vcpus_.written(vcpu);
  if (!regs) {
    const auto data = connection_.call(get_request(vcpu, 0, {}), answer_wait());
    if (!data) return std::unexpected(data.error());
    regs = regs_of_answer(*data);
  }
  if (auto done = change(*regs, registers); !done) return done;
  Request request(Command::set_registers, {{Field::vcpu, vcpu}});
  request.tail = *regs;
  if (const auto done = connection_.call(request, answer_wait()); !done)
    return std::unexpected(done.error());
  vcpus_.set_written(vcpu, *regs);
  return {};
}

Expected<void> VcpuState::write(VcpuId vcpu, const Registers& registers) {
  Regs any{};
  if (auto done = change(any, registers); !done) return done;
  const auto index = vcpus_.index_of(vcpu);
  if (!index) return std::unexpected(index.error());
  if (auto done = vcpus_.hold(*index); !done) return done;
  auto done = write_waiting(*index, registers);
  vcpus_.let_go(*index);
  return done;
}

Expected<void> VcpuState::inject(VcpuId vcpu, const Exception& exception) {
  const auto index = vcpus_.index_of(vcpu);
  if (!index) return std::unexpected(index.error());
  const auto address = exception.address ? to_integer(*exception.address) : 0;
  const auto done = connection_.call(
      Request(Command::inject_exception, {{Field::vcpu, *index},
                                          {Field::vector, exception.vector},
                                          {Field::has_error, exception.error_code ? 1U : 0U},
                                          {Field::error_code, exception.error_code.value_or(0)},
                                          {Field::address, address}}),
      answer_wait());
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace microvmi::kvm
