// SPDX-License-Identifier: Apache-2.0
// GuardControl: stops and resumes a guest through a guard process.
#pragma once

#include <optional>

#include "guard/launch.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi::guard {

// The guest as the guard is to open it.
struct Subject {
  DriverType driver{};
  std::vector<param::Setting> params{};
  std::optional<std::uint32_t> pid = std::nullopt;  // of the guest already open; another is refused
};

// The guard is started by the first pause. Once it is gone, which the next call tells as
// Errc::disconnected, `own` resumes the guest in its place; it must outlive this.
class GuardControl final : public RunControl {
 public:
  GuardControl(RunControl& own, Subject subject, GuardOptions options)
      : own_(own), subject_(std::move(subject)), options_(std::move(options)) {}
  GuardControl(const GuardControl&) = delete;
  GuardControl& operator=(const GuardControl&) = delete;
  ~GuardControl() override;

  Expected<void> pause() override;
  Expected<void> resume() override;
  Expected<bool> running() override;

 private:
  [[nodiscard]] bool by_itself() const;
  Expected<void> start();
  Expected<Message> ask(const Message& request);

  RunControl& own_;
  Subject subject_;
  GuardOptions options_;
  std::optional<Channel> channel_;  // empty before the first pause and once the guard is gone
  bool paused_ = false;             // by the guard, on our behalf
  bool paused_itself_ = false;      // by `own_`, which guards it
};

}  // namespace microvmi::guard
