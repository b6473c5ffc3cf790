// SPDX-License-Identifier: Apache-2.0
// QmpRunControl: pause and resume through the monitor, each checked afterwards.
#pragma once

#include <chrono>
#include <functional>

#include "microvmi/driver.hpp"
#include "qemu/qmp.hpp"
#include "qemu/query.hpp"

namespace microvmi::qemu {

// A command may have to wait for QEMU's main loop, which disk or network work can hold up.
inline constexpr std::chrono::milliseconds kCommandTime{2000};

class QmpRunControl final : public RunControl {
 public:
  using Ask = std::function<Expected<nlohmann::json>(const Command& command)>;

  explicit QmpRunControl(Monitor monitor);
  explicit QmpRunControl(Ask ask) : ask_(std::move(ask)) {}

  // Nothing to do where the guest is stopped already. Errc::busy in states that QEMU will leave by
  // itself, such as an incoming migration.
  [[nodiscard]] Expected<void> pause() override;

  // Errc::busy or Errc::not_supported in states from which running on would harm: migrated away,
  // crashed, shut down, held by a debugger.
  [[nodiscard]] Expected<void> resume() override;

  [[nodiscard]] Expected<bool> running() override;

 private:
  [[nodiscard]] Expected<Status> status();
  [[nodiscard]] Expected<void> command(const char* name, bool running);

  Ask ask_;
};

}  // namespace microvmi::qemu
