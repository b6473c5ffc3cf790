// SPDX-License-Identifier: Apache-2.0
// Probing and opening connectors in turn, keeping every reason.
#include "driver/memflow/selection.hpp"

#include "init/telling.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace microvmi::memflow {
namespace {

const char* name_of(Connector connector) {
  return kConnectorNames[static_cast<std::size_t>(connector)];
}

}  // namespace

Selection select(std::span<const ConnectorInfo> registry, const DriverInitParams& params) {
  const auto wanted = params.memflow ? params.memflow->selected() : std::nullopt;
  Selection out;
  for (const ConnectorInfo& info : registry) {
    if (wanted && *wanted != info.type) continue;
    // A device is another machine's: it is never touched unasked.
    auto readiness = !wanted && info.type == Connector::pcileech
                         ? fail(Errc::not_applicable, "none of its own parameters is given")
                     : info.probe ? info.probe(params)
                                  : fail(Errc::not_supported, info.absent);
    if (readiness)
      out.usable.push_back({&info, *std::move(readiness)});
    else
      out.attempts.push_back({info.type, std::move(readiness.error())});
  }
  // The connectors are in order as they are.
  std::ranges::sort(out.usable, {}, [](const Usable& one) {
    return std::pair(!one.readiness.ready, one.info->type);
  });
  return out;
}

Expected<std::unique_ptr<Driver>> open_first(Selection selection, const DriverInitParams& params,
                                             const InitOptions& options) {
  for (const Usable& one : selection.usable) {
    const Errc over = options.wait.over();
    auto opened =
        over == Errc::none ? one.info->open(params, options) : fail(over, "was not tried any more");
    if (opened) {
      if (options.log) options.log(std::string("memflow: opened by ") + name_of(one.info->type));
      return opened;
    }
    selection.attempts.push_back({one.info->type, std::move(opened.error())});
  }
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
