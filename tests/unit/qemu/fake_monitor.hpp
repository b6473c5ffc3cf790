// SPDX-License-Identifier: Apache-2.0
// FakeMonitor: a socket of the test's own that plays a monitor, well or badly.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "qemu/qmp.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::test {

inline constexpr const char* kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, )"
    R"("capabilities": ["oob"]}})"
    "\r\n";

inline const qemu::Command kStatus{.name = "query-status"};

// Long enough that only what never comes is missed.
[[nodiscard]] inline Wait patient() { return Wait::at_most(std::chrono::seconds(20)); }

// One connection, from the monitor's side.
class FakeLine {
 public:
  explicit FakeLine(int fd) : fd_(fd) {}

  void send(std::string_view bytes) const;
  // The next line that the client wrote; empty when it hung up.
  std::string line();
  // The next command, answered with {"return": RESULT} under its id.
  std::string answer(std::string_view result);
  // Greeting and negotiation.
  void greet();
  // The next packet of a gdb client, without its frame; empty when it hung up.
  std::string packet();
  // Until the client hangs up.
  void idle();

 private:
  int fd_;
  std::string rest_;
};

class FakeMonitor {
 public:
  using Script = std::function<void(FakeLine& line)>;

  // Plays the script to each client, one after the other, and then hangs up.
  explicit FakeMonitor(Script script);
  FakeMonitor(const FakeMonitor&) = delete;
  FakeMonitor& operator=(const FakeMonitor&) = delete;
  ~FakeMonitor();

  [[nodiscard]] std::string path() const { return folder_.path() / "monitor"; }
  // This process is the one that must be at the other end.
  [[nodiscard]] qemu::Monitor monitor() const;

 private:
  void serve(const Script& script) const;

  TempFolder folder_;
  int listener_ = -1;
  std::jthread thread_;
};

}  // namespace microvmi::test
