// SPDX-License-Identifier: Apache-2.0
// CommandLine: what a QEMU process was told when it was started.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "qemu/monitor_options.hpp"
#include "qemu/options.hpp"

namespace microvmi::qemu {

// -object memory-backend-*
struct RamBackend {
  enum class Kind : std::uint8_t { ram, memfd, file, other };

  std::string id;
  Kind kind = Kind::other;
  std::uint64_t size = 0;
  bool shared = false;
  std::string path{};  // of Kind::file
};

// -device
struct Device {
  std::string driver;
  Options options{};
};

struct CommandLine {
  std::string program{};  // argv[0]
  std::string name{};     // of the guest; empty where it has none
  std::string uuid{};
  Options machine{};  // "type" holds the machine; absent where the default is used
  std::vector<std::string> accelerators{};             // in the order of preference
  std::optional<std::uint64_t> memory = std::nullopt;  // bytes of -m
  std::uint64_t slots = 0;                             // for memory that may be plugged in later
  std::optional<std::uint64_t> max_memory = std::nullopt;
  std::string mem_path{};
  Options cpu{};  // "model" holds its name
  std::uint32_t vcpus = 1;
  std::vector<RamBackend> backends{};
  std::vector<std::string> numa_memdevs{};  // in the order of the node numbers
  std::vector<Device> devices{};
  std::optional<std::string> vga = std::nullopt;
  bool own_bios = false;  // -bios
  bool no_defaults = false;
  bool starts_stopped = false;
  bool waits_for_migration = false;
  std::vector<MonitorAddress> qmp{};
  std::string gdb{};
  std::vector<std::string> encryption{};  // "sev-guest": its memory cannot be read from outside
  bool hole64_changed = false;            // -global ...pci-hole64-size=
  std::vector<std::string> elsewhere{};   // "-readconfig guest.cfg": more is told in other places
  std::vector<std::string> problems{};    // what could not be understood, with its option

  [[nodiscard]] const RamBackend* backend(std::string_view id) const;
};

// Never fails as a whole, for the name in a command line is worth having even where its -m is
// nonsense; what depends on a part with problems has to look at them.
[[nodiscard]] CommandLine parse_command_line(std::span<const std::string> argv);

}  // namespace microvmi::qemu
