// SPDX-License-Identifier: Apache-2.0
// Times as texts, and waiting that a signal ends.
#include "waiting.hpp"

#include <condition_variable>
#include <mutex>

#include "microvmi/param/value.hpp"

namespace microvmi::tool {
namespace {

// "0.5" in milliseconds; longer fractions than that are cut.
std::optional<std::chrono::milliseconds> plain_seconds(const std::string& text) {
  const std::size_t dot = std::min(text.find('.'), text.size());
  const std::string digits = text.substr(0, dot);
  std::string fraction = dot == text.size() ? "" : text.substr(dot + 1);
  const auto all_digits = [](const std::string& part) {
    return part.find_first_not_of("0123456789") == std::string::npos;
  };
  if (digits.empty() || (dot != text.size() && fraction.empty())) return std::nullopt;
  if (!all_digits(digits) || !all_digits(fraction)) return std::nullopt;
  fraction.resize(3, '0');
  const auto time = param::parse_duration(digits + fraction + "ms");
  return time ? std::optional(*time) : std::nullopt;
}

}  // namespace

std::chrono::milliseconds seconds_of(Session& session, const char* name, const std::string& text) {
  if (const auto plain = plain_seconds(text)) return *plain;
  if (const auto time = param::parse_duration(text)) return *time;
  session.wrong(std::string(name) +
                " expects seconds or a duration such as 5, 0.5 or 500ms, not '" + text + "'");
  return {};
}

bool sleep_until(const Wait& end) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_until(lock, end.stop, end.deadline, [] { return false; });
  return !end.stop.stop_requested();
}

}  // namespace microvmi::tool
