// SPDX-License-Identifier: Apache-2.0
// microvmi params: every parameter there is, or what is in force and who said so.
#include <fmt/format.h>

#include "command.hpp"
#include "json.hpp"
#include "microvmi/init_args.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

struct ParamsArgs {
  bool json = false;
  bool explain = false;
};

Json to_json(const param::Origin& origin) {
  return {{"source", param::to_text({origin.source, ""})}, {"place", origin.place}};
}

Json to_json(const std::vector<Explained>& rows) {
  Json out = Json::array();
  for (const Explained& one : rows) {
    Json dropped = Json::array();
    for (const auto& [setting, reason] : one.dropped)
      dropped.push_back({{"key", setting.key},
                         {"value", setting.value},
                         {"origin", to_json(setting.origin)},
                         {"reason", reason}});
    out.push_back({{"key", one.key},
                   {"values", one.values},
                   {"origin", one.origin ? to_json(*one.origin) : Json(nullptr)},
                   {"dropped", std::move(dropped)}});
  }
  return out;
}

std::string to_lines(const std::vector<Explained>& rows) {
  std::string out;
  for (const Explained& one : rows) {
    std::string values;
    for (const std::string& value : one.values)
      values += (values.empty() ? "" : ", ") + printable(value);
    const bool given = one.origin && one.origin->source != param::Source::default_value;
    out += fmt::format("{}{:<32} {:<24} {}{}\n", given ? style().bold : style().dim, one.key,
                       one.values.empty() ? "-" : values,
                       one.origin ? printable(param::to_text(*one.origin)) : "not given",
                       style().plain);
    for (const auto& [setting, reason] : one.dropped)
      out += fmt::format("  not {} ({}): {}\n", printable(setting.value),
                         printable(param::to_text(setting.origin)), printable(reason));
  }
  return out;
}

// As the driver is opened without them.
void show_dropped(std::vector<Explained>& rows) {
  for (Explained& row : rows) {
    const bool given = row.origin && row.origin->source != param::Source::default_value;
    if (!given || !row.key.starts_with("memflow.")) continue;
    for (std::string& value : row.values)
      row.dropped.push_back(
          {.setting = {.key = row.key, .value = std::move(value), .origin = *row.origin},
           .reason = "the command line names a live guest"});
    row.values.clear();
    row.origin.reset();
  }
}

Run declare_params(CLI::App& app) {
  auto options = std::make_shared<ParamsArgs>();
  add_flag(app, "--json", options->json, "As a list of objects, the shape that drivers --json has");
  add_flag(app, "--explain", options->explain,
           "What is in force, from which source, and what it overruled");
  return [options](Session& session) -> Outcome {
    const auto request =
        session.request(options->explain ? OwnFile::must_be_right : OwnFile::may_be_wrong);
    if (!request) return std::unexpected(request.error());
    if (!options->explain)
      return session.out().write(options->json ? param::json(every_init_arg())
                                               : param::help(every_init_arg()));
    auto rows = request->sources.explain();
    if (request->image_dropped) show_dropped(rows);
    return session.out().write(options->json ? to_text(to_json(rows)) : to_lines(rows));
  };
}

}  // namespace

const Command kParams{.name = "params",
                      .summary = "List every parameter, or with --explain what is in force",
                      .takes_target = true,
                      .declare = declare_params};

}  // namespace microvmi::tool
