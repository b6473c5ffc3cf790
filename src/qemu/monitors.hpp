// SPDX-License-Identifier: Apache-2.0
// The monitors of a QEMU process, as places that this process can connect to.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "qemu/command_line.hpp"
#include "qemu/endpoint.hpp"
#include "qemu/find.hpp"
#include "qemu/qmp.hpp"

namespace microvmi::qemu {

// What to start QEMU with where it has none, for people.
inline constexpr const char* kQmpOption = "-qmp unix:FILE,server=on,wait=off";

// Those of its QMP monitors that listen, in the order of the command line. Paths are looked up in
// the process's own root and working directory; an inherited descriptor, as libvirt passes it, is
// found by the inode of its socket. No more than 16: each that is silent is waited for, and a
// command line could name any number.
[[nodiscard]] std::vector<Monitor> monitors_of(const CommandLine& line, std::uint32_t pid);

// The one that the caller has given, else those above.
[[nodiscard]] std::vector<Monitor> monitors_of(const QemuProcess& process);

// The gdb stub of -gdb or -s; nullopt where there is none that could be connected to.
[[nodiscard]] std::optional<Monitor> gdb_stub_of(const CommandLine& line, std::uint32_t pid);

// A character device as QEMU writes it in query-chardev: "disconnected:unix:/tmp/gdb,server=on".
[[nodiscard]] std::optional<Endpoint> endpoint_of(std::string_view written, std::uint32_t pid);

}  // namespace microvmi::qemu
