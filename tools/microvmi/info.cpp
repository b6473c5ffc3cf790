// SPDX-License-Identifier: Apache-2.0
// microvmi info: what is known of one guest.
#include <fmt/format.h>

#include "command.hpp"
#include "json.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

const char* kind_name(MemoryRegion::Kind kind) {
  return kind == MemoryRegion::Kind::ram ? "ram" : "rom";
}

const char* capability_name(Capability capability) {
  return kCapabilityNames[static_cast<std::size_t>(capability)];
}

Json to_json(Vm& vm) {
  const GuestInfo info = vm.info();
  const auto map = vm.memory().map();
  Json regions = Json::array();
  for (const MemoryRegion& region : map->regions)
    regions.push_back(
        {{"gpa", to_integer(region.gpa)}, {"size", region.size}, {"kind", kind_name(region.kind)}});
  Json capabilities = Json::array();
  for (const Capability one : vm.capabilities()) capabilities.push_back(capability_name(one));
  Json facts = Json::object();
  for (const Fact& fact : info.facts)
    std::visit([&](const auto& value) { facts[fact.name] = value; }, fact.value);
  return {{"driver", microvmi::name_of(vm.driver_type())},
          {"connector", or_null(info.connector)},
          {"vm_name", or_null(info.vm_name)},
          {"pid", or_null(info.pid)},
          {"vcpus", or_null(info.vcpus)},
          {"end_of_memory", to_integer(map->end_of_memory())},
          {"map", std::move(regions)},
          {"map_exact", map->exact},
          {"capabilities", std::move(capabilities)},
          {"facts", std::move(facts)}};
}

std::string line(std::string_view name, std::string_view value) {
  return fmt::format("{}{:<16}{} {}\n", style().bold, name, style().plain, value);
}

template <class T>
std::string text_of(const std::optional<T>& value) {
  return value ? printable(fmt::format("{}", *value)) : "unknown";
}

std::string text_of(const Fact& fact) {
  if (const auto* flag = std::get_if<bool>(&fact.value)) return *flag ? "yes" : "no";
  if (const auto* number = std::get_if<std::uint64_t>(&fact.value)) return std::to_string(*number);
  return printable(std::get<std::string>(fact.value));
}

std::string map_text(const MemoryMap& map) {
  std::string out;
  std::uint64_t total = 0;
  for (const MemoryRegion& region : map.regions) {
    total += region.size;
    out += fmt::format("  {:#014x} - {:#014x}  {}  {}\n", to_integer(region.gpa),
                       to_integer(region.end()), kind_name(region.kind), human_size(region.size));
  }
  return line("memory", fmt::format("{} in {} region{}{}", human_size(total), map.regions.size(),
                                    map.regions.size() == 1 ? "" : "s",
                                    map.exact ? "" : "; only an upper bound is known")) +
         out + line("end of memory", hex(to_integer(map.end_of_memory())));
}

std::string to_lines(Vm& vm) {
  const GuestInfo info = vm.info();
  std::string driver = microvmi::name_of(vm.driver_type());
  if (info.connector) driver += ", connector " + *info.connector;
  std::string out = line("driver", driver) + line("name", text_of(info.vm_name)) +
                    line("pid", text_of(info.pid)) + line("vcpus", text_of(info.vcpus)) +
                    map_text(*vm.memory().map());
  std::string capabilities;
  for (const Capability one : vm.capabilities())
    capabilities += (capabilities.empty() ? "" : ", ") + std::string(capability_name(one));
  out += line("capabilities", capabilities.empty() ? "reading memory alone" : capabilities);
  for (const Fact& fact : info.facts) out += line(printable(fact.name), text_of(fact));
  return out;
}

Run declare_info(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  add_flag(app, "--json", *json,
           "One object {driver, connector, vm_name, pid, vcpus, end_of_memory, map, map_exact, "
           "capabilities, facts}");
  return [json](Session& session) -> Outcome {
    const auto request = session.request();
    if (!request) return std::unexpected(request.error());
    auto vm = session.open(*request);
    if (!vm) return std::unexpected(std::move(vm.error()));
    return session.out().write(*json ? to_text(to_json(*vm)) : to_lines(*vm));
  };
}

}  // namespace

const Command kInfo{.name = "info",
                    .summary = "Tell what is known of a guest: memory map, capabilities, facts",
                    .takes_target = true,
                    .declare = declare_info};

}  // namespace microvmi::tool
