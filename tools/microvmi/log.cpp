// SPDX-License-Identifier: Apache-2.0
// The library's log lines through spdlog.
#include "log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "terminal.hpp"

namespace microvmi::tool {

void set_verbosity(int level) {
  auto logger = spdlog::stderr_color_mt("microvmi");
  logger->set_pattern(level > 1 ? "%H:%M:%S.%e microvmi: %^%v%$" : "microvmi: %v");
  logger->set_level(level > 1   ? spdlog::level::debug
                    : level > 0 ? spdlog::level::info
                                : spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

LogSink log_sink() {
  return [](std::string_view line) {
    // Who has to do something before it goes on is told without being asked.
    const bool waits = line.starts_with("waiting for ");
    spdlog::log(waits ? spdlog::level::warn : spdlog::level::info, "{}", printable(line));
  };
}

}  // namespace microvmi::tool
