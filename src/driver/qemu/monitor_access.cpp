// SPDX-License-Identifier: Apache-2.0
// One command over the first monitor that is free.
#include "driver/qemu/monitor_access.hpp"

#include <algorithm>
#include <optional>

namespace microvmi::qemu_driver {

bool is_out_of_reach(const Error& error) {
  return error.code == Errc::busy || error.code == Errc::not_found ||
         error.code == Errc::permission_denied || error.code == Errc::timed_out;
}

Expected<nlohmann::json> MonitorAccess::ask(const qemu::Command& command) {
  std::optional<Error> first;
  for (auto one = monitors_.begin(); one != monitors_.end(); ++one) {
    auto answer = qemu::ask(*one, command, Wait::at_most(each_));
    if (answer || !is_out_of_reach(answer.error())) {
      std::rotate(monitors_.begin(), one, one + 1);
      return answer;
    }
    if (!first) first = std::move(answer.error());
  }
  if (first) return std::unexpected(*std::move(first));
  return fail(Errc::not_found, "the QEMU process has no monitor that could be reached", {},
              "start it with -qmp unix:PATH,server=on,wait=off");
}

Expected<std::string> MonitorAccess::human(std::string_view line) {
  auto answer = ask(qemu::human_command(line));
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (!answer->is_string())
    return fail(Errc::protocol, "the answer of the human monitor is no text");
  return answer->get<std::string>();
}

}  // namespace microvmi::qemu_driver
