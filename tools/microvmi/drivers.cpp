// SPDX-License-Identifier: Apache-2.0
// microvmi drivers: what there is, whether it could be used now, and what it takes.
#include <fmt/format.h>

#include "command.hpp"
#include "json.hpp"
#include "microvmi/init.hpp"
#include "microvmi/init_args.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

struct DriversArgs {
  bool json = false;
  std::optional<std::string> name;
};

struct Answer {
  bool available = false;
  std::string reason;
};

// Without any parameters a backend that lacks only those counts as available.
template <class Backend>
Answer ask(const Backend& backend, const DriverInitParams& params, bool any_given) {
  if (!backend.probe) return {false, backend.absent};
  const auto ready = backend.probe(params);
  if (ready) return {true, ready->note};
  const bool lacks_parameters = ready.error().code == Errc::not_applicable && !any_given;
  return {lacks_parameters, lacks_parameters ? "needs parameters: " + ready.error().message
                                             : microvmi::to_text(ready.error())};
}

Answer answer_for(const ConnectorInfo& connector, const Request& request) {
  const auto& memflow = request.params.memflow;
  const auto selected = memflow ? memflow->selected() : std::nullopt;
  if (request.driver && request.driver != DriverType::memflow)
    return {false, std::string("driver ") + microvmi::name_of(*request.driver) + " is asked for"};
  if (selected && *selected != connector.type)
    return {false, std::string("connector ") + name_of(*selected) + " is asked for"};
  return ask(connector, request.params, request.params != DriverInitParams{});
}

// As init() would have it: which drivers it leaves out depends on what is given.
Answer answer_for(const DriverInfo& driver, const Request& request) {
  const DriverInitParams& params = request.params;
  const bool any_given = params != DriverInitParams{};
  if (request.driver && request.driver != driver.type)
    return {false, std::string("driver ") + microvmi::name_of(*request.driver) + " is asked for"};
  const std::string left_out = why_left_out(driver.type, params);
  if (driver.probe && any_given && !request.driver && !left_out.empty()) return {false, left_out};
  const Answer answer = ask(driver, params, any_given);
  if (answer.available || any_given || driver.type != DriverType::memflow) return answer;
  for (const ConnectorInfo& connector : connectors())
    if (Answer through = answer_for(connector, request); through.available)
      return {true, std::string(name_of(connector.type)) + ' ' + through.reason};
  return answer;
}

Json row(const std::string& name, const char* summary, const Answer& answer,
         const std::vector<DriverInitParamDesc>& params) {
  return {{"name", name},
          {"summary", summary},
          {"available", answer.available},
          {"reason", answer.reason.empty() ? Json(nullptr) : Json(answer.reason)},
          {"params", Json::parse(param::json(params))},
          {"connectors", Json::array()}};
}

Json to_json(const std::vector<DriverInfo>& wanted, const Request& request) {
  Json out = Json::array();
  for (const DriverInfo& driver : wanted) {
    Json one = row(microvmi::name_of(driver.type), driver.summary, answer_for(driver, request),
                   possible_init_args(driver.type));
    if (driver.type == DriverType::memflow)
      for (const ConnectorInfo& connector : connectors())
        one["connectors"].push_back(row(name_of(connector.type), connector.summary,
                                        answer_for(connector, request),
                                        possible_init_args(connector.type)));
    out.push_back(std::move(one));
  }
  return out;
}

std::string line(const std::string& indent, const std::string& name, const char* summary,
                 const Answer& answer) {
  const std::string reason = answer.reason.substr(0, answer.reason.find('\n'));
  return fmt::format("{}{}{:<{}}{} {}{:<4}{} {}{}\n", indent, style().bold, name,
                     14 - static_cast<int>(indent.size()), style().plain,
                     answer.available ? style().good : style().bad, answer.available ? "yes" : "no",
                     style().plain, summary, reason.empty() ? "" : "; " + printable(reason));
}

std::string to_lines(const std::vector<DriverInfo>& wanted, const Request& request) {
  std::string out;
  for (const DriverInfo& driver : wanted) {
    out += line("", microvmi::name_of(driver.type), driver.summary, answer_for(driver, request));
    if (driver.type == DriverType::memflow)
      for (const ConnectorInfo& connector : connectors())
        out +=
            line("  ", name_of(connector.type), connector.summary, answer_for(connector, request));
  }
  return out;
}

Outcome run_drivers(Session& session, const DriversArgs& options) {
  std::vector<DriverInfo> wanted(drivers().begin(), drivers().end());
  if (options.name) {
    const auto driver = param::Value<DriverType>::parse(*options.name);
    if (driver)
      std::erase_if(wanted, [&](const DriverInfo& one) { return one.type != *driver; });
    else
      session.wrong("NAME " + driver.error() + ", not '" + *options.name + "'");
  }
  const auto request = session.request(OwnFile::may_be_wrong);
  if (!request) return std::unexpected(request.error());
  if (options.json) return session.out().write(to_text(to_json(wanted, *request)));
  std::string text = to_lines(wanted, *request) + '\n';
  text += options.name ? param::help(possible_init_args(wanted[0].type))
                       : "microvmi drivers NAME lists the parameters of one, microvmi params all\n";
  return session.out().write(text);
}

Run declare_drivers(CLI::App& app) {
  auto options = std::make_shared<DriversArgs>();
  add_text(app, "NAME", options->name, "Only this driver, with all its parameters");
  add_flag(app, "--json", options->json,
           "A list of {name, summary, available, reason, params, connectors}");
  return [options](Session& session) { return run_drivers(session, *options); };
}

}  // namespace

const Command kDrivers{
    .name = "drivers",
    .summary = "List the drivers and whether they could be used, with the parameters given",
    .takes_target = false,
    .declare = declare_drivers};

}  // namespace microvmi::tool
