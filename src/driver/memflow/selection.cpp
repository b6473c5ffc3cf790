// SPDX-License-Identifier: Apache-2.0
// Probing and opening connectors in turn, keeping every reason.
#include "driver/memflow/selection.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "init/telling.hpp"

namespace microvmi::memflow {
namespace {

// For each of several, where the caller has all the time in the world.
constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(30);

const char* name_of(Connector connector) {
  return kConnectorNames[static_cast<std::size_t>(connector)];
}

auto place_of(Connector connector) { return std::ranges::find(kTrialOrder, connector); }

Expected<Readiness> probe(const ConnectorInfo& info, bool chosen, const DriverInitParams& params) {
  if (!info.probe) return fail(Errc::not_supported, info.absent);
  // A device is another machine's: it is never touched unasked.
  if (!chosen && info.type == Connector::pcileech)
    return fail(Errc::not_applicable, "none of its own parameters is given");
  return info.probe(params);
}

// An equal part of what is left.
Wait part_of(const Wait& wait, std::size_t left) {
  const auto rest = std::max(wait.deadline - Wait::Clock::now(), Wait::Clock::duration{});
  const auto part = rest / static_cast<Wait::Clock::rep>(left);
  return wait.within(
      std::min(kPatience, std::chrono::duration_cast<std::chrono::milliseconds>(part)));
}

}  // namespace

Selection select(std::span<const ConnectorInfo> registry, const DriverInitParams& params) {
  const auto wanted = params.memflow ? params.memflow->selected() : std::nullopt;
  Selection out;
  for (const Connector connector : kTrialOrder) {
    const auto info = std::ranges::find(registry, connector, &ConnectorInfo::type);
    if (info == registry.end() || (wanted && *wanted != connector)) continue;
    auto readiness = probe(*info, wanted.has_value(), params);
    if (readiness)
      out.usable.push_back({&*info, *std::move(readiness)});
    else
      out.attempts.push_back({connector, std::move(readiness.error())});
  }
  std::ranges::sort(out.usable, {}, [](const Usable& one) {
    return std::pair(!one.readiness.ready, place_of(one.info->type));
  });
  return out;
}

Expected<std::unique_ptr<Driver>> open_first(Selection selection, const DriverInitParams& params,
                                             const InitOptions& options) {
  const bool is_only = selection.usable.size() == 1 && selection.attempts.empty();
  std::size_t left = selection.usable.size();
  for (const Usable& one : selection.usable) {
    InitOptions own = options;
    if (!is_only) own.wait = part_of(options.wait, left);
    --left;
    const Errc over = options.wait.over();
    auto opened =
        over == Errc::none ? one.info->open(params, own) : fail(over, "was not tried any more");
    if (opened) {
      if (options.log) options.log(std::string("memflow: opened by ") + name_of(one.info->type));
      return opened;
    }
    if (options.log)
      options.log(std::string("memflow: ") + name_of(one.info->type) + ": " +
                  to_text(opened.error()));
    selection.attempts.push_back({one.info->type, std::move(opened.error())});
  }
  std::ranges::stable_sort(selection.attempts, {},
                           [](const ConnectorAttempt& one) { return place_of(one.connector); });
  return std::unexpected(failure(selection.attempts));
}

Error failure(std::span<const ConnectorAttempt> attempts) {
  if (attempts.size() == 1) {
    Error error = attempts.front().error;
    error.message.insert(0, std::string(name_of(attempts.front().connector)) + ": ");
    return error;
  }
  Error error{.code = Errc::none, .message = "no connector could open a guest"};
  for (const ConnectorAttempt& one : attempts) {
    error.message += std::string("\n    ") + name_of(one.connector) + ": " + to_text(one.error);
    error.code = more_telling(error.code, one.error.code);
  }
  if (error.code == Errc::none) error.code = Errc::not_found;
  return error;
}

}  // namespace microvmi::memflow
