// SPDX-License-Identifier: Apache-2.0
// The pcileech connector: LeechCore in a helper process, and its memory as a guest's.
#include "connector/pcileech/memory.hpp"
#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::pcileech_connector {
namespace {

class Machine final : public Driver {
 public:
  Machine(std::unique_ptr<LeechMemory> memory, GuestInfo info)
      : memory_(std::move(memory)), info_(std::move(info)) {}
  PhysicalMemory& memory() override { return *memory_; }
  GuestInfo info() const override { return info_; }

 private:
  std::unique_ptr<LeechMemory> memory_;
  GuestInfo info_;
};

// Those that are given, else the defaults.
PcileechParams params_of(const DriverInitParams& params) {
  const PcileechParams* own = params.memflow && params.memflow->args
                                  ? std::get_if<PcileechParams>(&*params.memflow->args)
                                  : nullptr;
  return own ? *own : PcileechParams{};
}

GuestInfo describe(const OpenedDevice& device, bool given) {
  GuestInfo info{.connector = "pcileech"};
  info.facts = {{"leechcore", device.version},
                {"device", device.name},
                {"volatile", device.is_volatile},
                {"remote", device.is_remote},
                {"map_source", given              ? "memmap"
                               : device.map.exact ? "leechcore"
                                                  : "guessed"}};
  return info;
}

// LeechCore tells why only by printing it.
Error with_output(Error error, const std::vector<std::string>& lines) {
  if (const std::string said = in_one_line(lines); !said.empty())
    error.message += "; LeechCore said: " + said;
  return error;
}

Expected<Readiness> probe(const DriverInitParams& params) {
  const PcileechParams own = params_of(params);
  const auto wanted = wanted_of(own);
  if (!wanted) return std::unexpected(wanted.error());
  return Readiness{.note = "device " + own.device + " by " + wanted->library.string()};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  const PcileechParams own = params_of(params);
  const auto wanted = wanted_of(own);
  if (!wanted) return std::unexpected(wanted.error());
  const Wait wait = options.wait.within(own.timeout);
  auto helper = Helper::start(wait);
  if (!helper) return std::unexpected(std::move(helper.error()));
  auto device = open_device(**helper, own, *wanted, wait);
  const auto lines = (*helper)->output().take(true);
  tell(options.log, lines);
  if (!device) return std::unexpected(with_output(std::move(device.error()), lines));
  const bool given = !wanted->ranges.empty();
  if (options.log)
    options.log("pcileech: opened " + device->name + " by LeechCore " + device->version);
  if (options.log && !device->map.exact)
    options.log("pcileech: the memory map is a guess of LeechCore's, with holes unknown to it");
  GuestInfo info = describe(*device, given);
  auto memory = std::make_unique<LeechMemory>(
      *std::move(helper), *device,
      Manner{.given = given, .timeout = own.timeout, .log = options.log});
  return std::make_unique<Machine>(std::move(memory), std::move(info));
}

}  // namespace

extern const ConnectorInfo kConnector;
constinit const ConnectorInfo kConnector{.type = Connector::pcileech,
                                         .summary = "Machine behind a LeechCore device",
                                         .probe = probe,
                                         .open = open};

}  // namespace microvmi::pcileech_connector
