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
  CommonInitParams named{};    // what of the common ones stands on the command line
  bool image_dropped = false;  // as these name a live guest, and a weaker source an image
  std::chrono::milliseconds timeout{};
  Target target{};
};

// Whether the user's own configuration file, which no option names, must be right. Where nothing is
// opened, one that is not is told of and passed over.
enum class OwnFile : std::uint8_t { must_be_right, may_be_wrong };

class Session {
 public:
  Session(Given given, Output& out, std::stop_token stop)
      : given_(std::move(given)), out_(out), stop_(std::move(stop)) {}

  [[nodiscard]] Output& out() { return out_; }
  [[nodiscard]] const std::stop_token& stop() const { return stop_; }

  // Remembers a mistake of the user's; request() reports all of them at once.
  void wrong(std::string problem);

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
  [[nodiscard]] Result<Request> request(OwnFile own_file = OwnFile::must_be_right);

  // Fails where something was wrong with the words alone, for what depends on no parameter.
  [[nodiscard]] Outcome check_words();

  // Opens what was asked for. Whatever stops the guest, be it for its registers alone, does so
  // through a guard process, so that it runs again when this program is killed.
  [[nodiscard]] Result<Vm> open(const Request& request);

 private:
  void understand_words(Request& request);
  void join_target(Request& request);
  void join_file(Request& request, OwnFile own_file);
  void report(std::vector<param::Problem> problems);
  [[nodiscard]] Outcome verdict() const;

  Given given_;
  Output& out_;
  std::stop_token stop_;
  std::vector<std::string> problems_;
};

}  // namespace microvmi::tool
