// SPDX-License-Identifier: Apache-2.0
// microvmi regs: the registers of the vCPUs, read or written.
#include <fmt/format.h>

#include "json.hpp"
#include "register_view.hpp"
#include "terminal.hpp"
#include "vcpu_options.hpp"

namespace microvmi::tool {
namespace {

struct RegsArgs {
  std::optional<std::string> vcpu;
  std::vector<std::string> set;
  bool json = false;
};

struct Vcpu {
  std::uint32_t number;
  Registers registers;
};

Registers wanted_of(Session& session, const std::vector<std::string>& settings) {
  Registers wanted;
  for (const std::string& one : settings) {
    const std::size_t equals = std::min(one.find('='), one.size());
    const std::string name = one.substr(0, equals);
    const RegisterInfo* info = register_named(name);
    if (equals == one.size() || !info) {
      session.wrong(equals == one.size() ? "--set expects NAME=VALUE, not '" + one + "'"
                                         : "there is no register '" + name + "'");
      continue;
    }
    const std::uint64_t value = session.number(("--set " + name).c_str(), one.substr(equals + 1));
    if (info->bits < 64 && value >> info->bits != 0)
      session.wrong(fmt::format("--set {}: it has {} bits, not '{}'", name, info->bits,
                                one.substr(equals + 1)));
    wanted.set(info->reg, value);
  }
  return wanted;
}

Result<std::vector<Vcpu>> read_all(Vm& vm, std::optional<VcpuId> only) {
  std::vector<Vcpu> out;
  if (only) {
    const auto one = vm.read_registers(*only);
    if (!one) return failed(one.error());
    out.push_back({to_integer(*only), *one});
    return out;
  }
  const auto all = vm.read_all_registers();
  if (!all) return failed(all.error());
  for (const VcpuRegisters& one : *all) out.push_back({to_integer(one.vcpu), one.registers});
  return out;
}

Json to_json(const std::vector<Vcpu>& vcpus) {
  Json out = Json::array();
  for (const Vcpu& one : vcpus)
    out.push_back({{"vcpu", one.number},
                   {"registers", registers_json(one.registers)},
                   {"unknown", unknown_json(one.registers)}});
  return out;
}

std::string to_lines(const std::vector<Vcpu>& vcpus) {
  std::string out;
  for (const Vcpu& one : vcpus)
    out += fmt::format("{}vcpu {}{}\n", style().bold, one.number, style().plain) +
           registers_text(one.registers);
  return out;
}

Outcome run_regs(Session& session, const RegsArgs& options) {
  auto vcpu = vcpu_of(session, options.vcpu);
  const Registers wanted = wanted_of(session, options.set);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  if (wanted.known().any()) {
    if (!vcpu) vcpu = VcpuId{0};
    if (auto written = vm->write_registers(*vcpu, wanted); !written) return failed(written.error());
  }
  const auto vcpus = read_all(*vm, vcpu);
  if (!vcpus) return std::unexpected(vcpus.error());
  return session.out().write(options.json ? to_text(to_json(*vcpus)) : to_lines(*vcpus));
}

Run declare_regs(CLI::App& app) {
  auto options = std::make_shared<RegsArgs>();
  add_text(app, "--vcpu", options->vcpu, "This vCPU alone; else all of them", "N");
  add_texts(app, "--set", options->set,
            "Write a register of vCPU N, else of vCPU 0, and print that vCPU; may be repeated",
            "NAME=VALUE");
  add_flag(app, "--json", options->json, "A list of {vcpu, registers, unknown}");
  return [options](Session& session) { return run_regs(session, *options); };
}

}  // namespace

const Command kRegs{.name = "regs",
                    .summary = "Print, or write, the registers of a guest's vCPUs",
                    .takes_target = true,
                    .declare = declare_regs};

}  // namespace microvmi::tool
