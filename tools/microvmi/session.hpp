// SPDX-License-Identifier: Apache-2.0
// Session: what was asked for on the command line, and the guest it leads to.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "failure.hpp"
#include "microvmi/init.hpp"
#include "output.hpp"
#include "target.hpp"

namespace microvmi::tool {

// The options that every command takes, as they were written.
struct Given {
  DriverParams params{};  // of the drivers
  std::optional<std::string> driver{};
  std::optional<std::string> config{};
  std::optional<std::string> target{};
  std::optional<std::string> timeout = "60s";
  int verbosity = 0;
};

// Everything that decides which guest is opened, joined and understood.
struct Request {
  std::optional<DriverType> driver{};
  DriverParams sources{};
  DriverInitParams params{};
  std::chrono::milliseconds timeout{};
  Target target{};
};

class Session {
 public:
  Session(Given given, Output& out, std::stop_token stop)
      : given_(std::move(given)), out_(out), stop_(std::move(stop)) {}

  [[nodiscard]] Output& out() { return out_; }
  [[nodiscard]] const std::stop_token& stop() const { return stop_; }

  // Remembers a mistake of the user's; request() reports all of them at once.
  void wrong(std::string problem) { problems_.push_back(std::move(problem)); }

  // Decimal, 0x-hexadecimal, or with one of K, M, G, T behind it. 0 where it is wrong, which is
  // remembered.
  [[nodiscard]] std::uint64_t number(const char* name, const std::optional<std::string>& text);

  // The name of a file to be written, where it is one.
  [[nodiscard]] std::string new_file(const char* name, const std::optional<std::string>& text);

  // Takes this for the TARGET, and as a file where it is no URL.
  void take_image(const std::string& text) {
    given_.target = text.contains('/') ? text : "./" + text;
  }

  // Fails where anything at all was wrong.
  [[nodiscard]] Result<Request> request();

  // Opens what was asked for. A guard process, started where it is needed, lets the guest run again
  // if this program is killed while it stands still for us.
  [[nodiscard]] Result<Vm> open(const Request& request);

 private:
  void join_sources(Request& request);

  Given given_;
  Output& out_;
  std::stop_token stop_;
  std::vector<std::string> problems_;
};

}  // namespace microvmi::tool
