// SPDX-License-Identifier: Apache-2.0
// LayoutFinder: derives a running guest's layout, as often as it is asked.
#pragma once

#include <string>
#include <vector>

#include "host/linux/process.hpp"
#include "host/linux/snapshot.hpp"
#include "qemu/find.hpp"
#include "qemu/layout.hpp"
#include "qemu/qmp.hpp"

namespace microvmi::qemu {

// Threads: one at a time.
class LayoutFinder {
 public:
  enum class Source : std::uint8_t { none, qmp, command_line };

  // Holds the process for itself.
  [[nodiscard]] static Expected<LayoutFinder> open(QemuProcess process);

  // From the first monitor that answers, else from the command line. Once a monitor has told it,
  // the command line is not asked any more: it would lose what was plugged in since.
  [[nodiscard]] Expected<host::Layout> find(const Wait& wait);

  [[nodiscard]] Source source() const { return source_; }

  // The monitor that answered; null where none did.
  [[nodiscard]] const Monitor* monitor() const {
    return source_ == Source::qmp ? &monitors_.front() : nullptr;
  }

  // Why no monitor was used, and what the layout may lack.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  LayoutFinder(QemuProcess process, host::Process held);

  [[nodiscard]] Expected<host::Layout> from_monitor(const Monitor& monitor, const Wait& wait) const;
  [[nodiscard]] Expected<host::Layout> from_command_line();
  [[nodiscard]] bool is_bios_shadowed(std::uint64_t main_ram) const;

  QemuProcess process_;
  host::Process held_;
  std::vector<Monitor> monitors_;
  Source source_ = Source::none;
  std::vector<std::string> notes_;
};

}  // namespace microvmi::qemu
