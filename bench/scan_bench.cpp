// SPDX-License-Identifier: Apache-2.0
// scan() with ten real QEMUs, from /proc alone and with every monitor asked.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "benches.hpp"
#include "contest.hpp"
#include "microvmi/registry.hpp"
#include "program.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::bench {
namespace {

constexpr std::size_t kGuests = 10;
constexpr const char* kQemu = "qemu-system-x86_64";
constexpr double kLimit = 50;         // ms, without monitors
constexpr double kMonitorLimit = 20;  // ms more, for all of them together
constexpr std::chrono::seconds kStartTime{60};

using Clock = std::chrono::steady_clock;

// Whether its monitor greets; QEMU's memory is there by then.
bool greets(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) give_up(path + " is too long for a socket");
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) give_up("no socket");
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char first = 0;
  const bool good =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::recv(fd, &first, 1, 0) == 1;
  ::close(fd);
  return good;
}

class Guests {
 public:
  Guests() {
    for (std::size_t i = 0; i < kGuests; ++i)
      programs_.emplace_back(std::vector<std::string>{
          kQemu, "-S", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "64",
          "-qmp", "unix:" + socket(i) + ",server=on,wait=off"});
    const auto end = Clock::now() + kStartTime;
    for (std::size_t i = 0; i < kGuests; ++i)
      while (!greets(socket(i))) {
        if (Clock::now() > end) give_up("a QEMU did not start");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
  }

  // How many of ours a scan shows, and how many of them with their state.
  [[nodiscard]] std::pair<std::size_t, std::size_t> scan(bool ask_monitors) const {
    const auto rows = microvmi::scan({.ask_monitors = ask_monitors});
    std::size_t shown = 0;
    std::size_t known = 0;
    for (const Program& one : programs_) {
      const auto row = std::ranges::find(rows, static_cast<std::uint32_t>(one.pid()), &Found::pid);
      if (row == rows.end()) continue;
      ++shown;
      if (row->running) ++known;
    }
    return {shown, known};
  }

 private:
  [[nodiscard]] std::string socket(std::size_t guest) const {
    return (folder_.path() / (std::to_string(guest) + ".sock")).string();
  }

  test::TempFolder folder_;  // goes after the programs
  std::vector<Program> programs_;
};

// The guests start with the first turn, which is not timed.
const Guests& guests() {
  static const Guests all;
  return all;
}

void add_scan(const char* name, double limit_ms, bool ask_monitors) {
  add(Deadline{.name = name, .limit_ms = limit_ms, .ours = [ask_monitors] {
                 const auto [shown, known] = guests().scan(ask_monitors);
                 if (shown != kGuests) give_up("scan does not show all ten QEMUs");
                 if (ask_monitors && known != kGuests)
                   std::printf("  %zu of %zu monitors answered in time\n", known, kGuests);
               }});
}

}  // namespace

void add_scan_deadlines() {
  if (!is_in_path(kQemu)) {
    std::printf("scan/*: skipped, %s is not in PATH\n", kQemu);
    return;
  }
  add_scan("scan/10/quick", kLimit, false);
  add_scan("scan/10/monitors", kLimit + kMonitorLimit, true);
}

}  // namespace microvmi::bench
