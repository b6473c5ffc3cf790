// SPDX-License-Identifier: Apache-2.0
// Backend: a driver or a connector before it is opened. One row of one shape for each there is.
//
// Threads: the rows never change; probe, scan and candidates may be called from several at once.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "microvmi/driver.hpp"
#include "microvmi/driver/memflow.hpp"
#include "microvmi/param/setting.hpp"

namespace microvmi {

struct DriverInitParams;

// What a probe found: ready to open now, or only after something else happens.
struct Readiness {
  bool ready = true;
  std::string note{};  // "waits for a QEMU to connect to /tmp/introspector"
};

using LogSink = std::function<void(std::string_view line)>;  // by any thread that uses the Vm

// Pauses go through a helper process that resumes the guest when this program dies; see guard.hpp.
struct GuardOptions {
  std::filesystem::path helper{};             // the helper program; else found beside the library
  std::chrono::milliseconds timeout{10'000};  // for each answer of the helper
};

struct InitOptions {
  Wait wait{};
  LogSink log{};
  std::optional<GuardOptions> guard = std::nullopt;
};

struct ScanOptions {
  Wait wait{};
  bool ask_monitors = true;  // false: from /proc alone, which is faster and knows less
  LogSink log{};
};

// A guest that could be opened now, and one way to do it.
struct Found {
  DriverType driver{};
  std::optional<Connector> connector = std::nullopt;
  std::optional<std::string> vm_name = std::nullopt;
  std::optional<std::uint32_t> pid = std::nullopt;
  std::optional<bool> running = std::nullopt;
  std::optional<std::uint32_t> vcpus = std::nullopt;
  std::vector<Fact> facts{};             // as GuestInfo has them, as far as known unopened
  std::vector<param::Setting> params{};  // what init() needs to open it this way
};

// A value that a parameter could have on this host: {"1234", "win10"}.
struct Suggestion {
  std::string value;
  std::string note{};
};

// A backend that is not in this build has neither probe nor open.
template <class Type>
struct Backend {
  Type type;
  const char* summary;                          // one sentence without its full stop
  const char* absent = "is not in this build";  // why, where probe is null

  // Whether opening could work, found without touching any guest.
  Expected<Readiness> (*probe)(const DriverInitParams& params) = nullptr;
  Expected<std::unique_ptr<Driver>> (*open)(const DriverInitParams& params,
                                            const InitOptions& options) = nullptr;

  // The guests it could open now, preferred first; null where it cannot look for any.
  std::vector<Found> (*scan)(const ScanOptions& options) = nullptr;

  // What the parameter of this key could be; null where that is never known.
  std::vector<Suggestion> (*candidates)(std::string_view key) = nullptr;
};

using DriverInfo = Backend<DriverType>;
using ConnectorInfo = Backend<Connector>;

// Every driver there is, in the order of DriverType; every connector, in that of Connector.
[[nodiscard]] std::span<const DriverInfo> drivers();
[[nodiscard]] std::span<const ConnectorInfo> connectors();

// Every guest that could be opened now, a row for each way, preferred first. It opens none.
[[nodiscard]] std::vector<Found> scan(const ScanOptions& options = {});

// What the parameter of this key, alias or option name could be now, as every driver knows it.
[[nodiscard]] std::vector<Suggestion> candidates(std::string_view key);

}  // namespace microvmi
