// SPDX-License-Identifier: Apache-2.0
// microvmi scan: every guest that could be opened now, and how.
#include <fmt/format.h>

#include <set>

#include "command.hpp"
#include "json.hpp"
#include "log.hpp"
#include "microvmi/scan_json.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

// What to type next: the process alone for the preferred way, every parameter for the others.
std::string next_command(const Found& one, bool preferred) {
  if (preferred && one.pid) return fmt::format("microvmi info {}", *one.pid);
  std::string out = fmt::format("microvmi info --driver {}", microvmi::name_of(one.driver));
  for (const param::Setting& setting : one.params) {
    std::string option = setting.key;
    for (char& c : option)
      if (c == '.') c = '-';
    out += fmt::format(" --{} {}", option, shell_word(setting.value));
  }
  return out;
}

std::string to_table(const std::vector<Found>& rows) {
  std::string out = fmt::format("{}{:<8} {:<12} {:>8} {:<8} {:<20} NEXT{}\n", style().bold,
                                "DRIVER", "CONNECTOR", "PID", "STATE", "NAME", style().plain);
  std::set<std::uint32_t> seen;
  for (const Found& one : rows) {
    const bool preferred = one.pid && seen.insert(*one.pid).second;
    const char* state = one.running ? (*one.running ? "running" : "paused") : "-";
    out += fmt::format("{:<8} {:<12} {:>8} {:<8} {:<20} {}\n", microvmi::name_of(one.driver),
                       one.connector ? name_of(*one.connector) : "-",
                       one.pid ? std::to_string(*one.pid) : "-", state,
                       one.vm_name ? printable(*one.vm_name) : "-",
                       printable(next_command(one, preferred)));
  }
  return out;
}

// With what this user may not read, as "none" alone would be taken for "no guest runs".
std::string nothing_found(const DriverInitParams& params) {
  std::string out = "no guest that could be opened was found\n";
  for (const ConnectorInfo& connector : connectors()) {
    const auto ready = connector.probe ? connector.probe(params) : Expected<Readiness>();
    if (!ready && ready.error().code == Errc::permission_denied)
      out += fmt::format("  {}: {}\n", name_of(connector.type),
                         printable(microvmi::to_text(ready.error())));
  }
  return out;
}

// Settings that are there for the commands that open a guest hide no other one.
bool is_asked_for(const Found& one, const Request& request) {
  const auto& [vm_name, pid] = request.named;
  return (!request.driver || one.driver == *request.driver) &&
         (!vm_name || one.vm_name == *vm_name) && (!pid || one.pid == pid->value());
}

struct ScanArgs {
  bool json = false;
  bool quick = false;
};

Outcome run_scan(Session& session, const ScanArgs& options) {
  auto request = session.request();
  if (!request) return std::unexpected(std::move(request.error()));
  ScanOptions scanning{
      .wait = Wait::at_most(request->timeout), .ask_monitors = !options.quick, .log = log_sink()};
  scanning.wait.stop = session.stop();
  auto rows = scan(scanning);
  if (session.stop().stop_requested()) return failed("interrupted");
  std::erase_if(rows, [&](const Found& one) { return !is_asked_for(one, *request); });
  if (options.json) return session.out().write(microvmi::json(rows));
  if (rows.empty()) return session.out().write(nothing_found(request->params));
  return session.out().write(to_table(rows));
}

Run declare_scan(CLI::App& app) {
  auto options = std::make_shared<ScanArgs>();
  add_flag(app, "--json", options->json,
           "A list of {driver, connector, vm_name, pid, running, vcpus, facts, params}");
  add_flag(app, "--quick", options->quick, "Ask no monitor: faster, and STATE stays unknown");
  return [options](Session& session) { return run_scan(session, *options); };
}

}  // namespace

const Command kScan{.name = "scan",
                    .summary = "List the guests that could be opened now, preferred way first",
                    .takes_target = false,
                    .declare = declare_scan};

}  // namespace microvmi::tool
