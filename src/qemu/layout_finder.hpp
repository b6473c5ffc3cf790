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

// Where the caller says that guest RAM is in the process, all of it in one piece.
struct GivenRam {
  std::uint64_t hva = 0;
  std::uint64_t size = 0;
};

// Threads: one at a time.
class LayoutFinder {
 public:
  enum class Source : std::uint8_t { none, qmp, command_line };

  // Holds the process for itself. With `given`, no monitor is asked for the layout and no mapping
  // looked for: the board's split of that much RAM, at that place.
  [[nodiscard]] static Expected<LayoutFinder> open(QemuProcess process,
                                                   std::optional<GivenRam> given = std::nullopt);

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
  LayoutFinder(QemuProcess process, host::Process held, std::optional<GivenRam> given);

  [[nodiscard]] Expected<host::Layout> from_monitor(const Monitor& monitor, const Wait& wait) const;
  [[nodiscard]] Expected<host::Layout> from_command_line(const CommandLine& line);
  [[nodiscard]] Expected<std::vector<std::uint64_t>> addresses_of(
      const GuestLayout& layout, std::span<const host::Mapping> maps) const;
  [[nodiscard]] bool is_bios_shadowed(std::uint64_t main_ram) const;

  QemuProcess process_;
  host::Process held_;
  std::optional<GivenRam> given_;
  std::vector<Monitor> monitors_;
  Source source_ = Source::none;
  std::vector<std::string> notes_;
};

}  // namespace microvmi::qemu
