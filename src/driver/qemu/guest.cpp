// SPDX-License-Identifier: Apache-2.0
// Opening: the connector's memory, the monitors, and the stub if there is one.
#include "driver/qemu/guest.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "connector/qemu_procfs/guest.hpp"
#include "qemu/machine.hpp"
#include "qemu/monitors.hpp"

namespace microvmi::qemu_driver {
namespace {

// The socket file as the user sees it, or the port of a TCP one.
qemu::Endpoint stub_at(const std::string& given) {
  if (const auto port = qemu::parse_number(given); port && *port <= UINT16_MAX)
    return {qemu::Endpoint::Kind::tcp, "127.0.0.1", static_cast<std::uint16_t>(*port)};
  std::error_code none;
  const auto whole = std::filesystem::absolute(given, none);
  return {qemu::Endpoint::Kind::unix_path, none ? given : whole.string()};
}

bool uses_kvm(const GuestInfo& info) {
  return std::ranges::find(info.facts, Fact{"accelerator", std::string("kvm")}) != info.facts.end();
}

// An unnamed architecture is left to the monitor's answer, which tells another one by its text.
bool is_x86(const qemu::QemuProcess& process) {
  constexpr std::array<std::string_view, 3> kX86{"", "x86_64", "i386"};
  const std::string name = qemu::architecture_of(process.line, process.program);
  return std::ranges::find(kX86, name) != kX86.end();
}

// What would let more be done, instead of what the connector says of itself.
void set_hint(std::vector<Fact>& facts, bool reachable, bool x86) {
  std::erase_if(facts, [](const Fact& fact) { return fact.name == "hint"; });
  if (!reachable)
    facts.push_back({"hint", "for pausing, registers and events start QEMU with a QMP socket: " +
                                 std::string(qemu::kQmpOption)});
  else if (!x86)
    facts.push_back({"hint", std::string("registers and events are those of x86 alone")});
}

}  // namespace

Guest::Guest(std::unique_ptr<Driver> memory, const qemu::QemuProcess& process,
             std::vector<qemu::Monitor> monitors, AttachmentOptions options,
             std::unique_ptr<host::KvmControl> msrs)
    : memory_(std::move(memory)),
      info_(memory_->info()),
      is_x86_(is_x86(process)),
      reachable_(!monitors.empty() || options.stub),
      monitors_(std::move(monitors), options.each),
      attachment_(process, monitors_, std::move(options)),
      run_control_(monitors_, attachment_),
      registers_(monitors_, attachment_, run_control_, std::move(msrs)),
      events_(attachment_, run_control_, memory_->memory(), uses_kvm(info_)) {
  set_hint(info_.facts, reachable_, is_x86_);
}

Expected<std::unique_ptr<Driver>> Guest::open(const qemu::QemuProcess& process,
                                              const QemuInitParams& params, bool inject,
                                              const InitOptions& options) {
  auto memory = qemu_procfs_connector::Guest::open(process, {}, options);
  if (!memory) return std::unexpected(std::move(memory.error()));
  AttachmentOptions how{.stub = qemu::gdb_stub_of(process.line, process.pid),
                        .each = params.timeout,
                        .guard = options.guard};
  if (params.gdb) how.stub = qemu::Monitor{stub_at(*params.gdb), process.pid};
  std::unique_ptr<host::KvmControl> msrs;
  if (inject) {
    auto control = host::KvmControl::open(process.pid, process.start_time, true);
    if (!control) return std::unexpected(std::move(control.error()));
    msrs = *std::move(control);
  }
  return std::unique_ptr<Driver>(new Guest(*std::move(memory), process, qemu::monitors_of(process),
                                           std::move(how), std::move(msrs)));
}

}  // namespace microvmi::qemu_driver
