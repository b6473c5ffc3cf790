// SPDX-License-Identifier: Apache-2.0
// OwnStub: a gdb stub that QEMU is told to start, on a socket in a folder that nobody else can
// enter.
#pragma once

#include <functional>
#include <string>

#include "qemu/qmp.hpp"

namespace microvmi::qemu {

// A line of the human monitor.
using AskHuman = std::function<Expected<std::string>(std::string_view line)>;

struct OwnStub {
  Monitor stub{};
  std::string folder{};  // as this process sees it
};

// The folder belongs to the user of the QEMU process, which has to make the socket in it.
[[nodiscard]] Expected<OwnStub> start_stub(std::uint32_t pid, const AskHuman& ask);

// `gdbserver none`, and the folder is gone. What the monitor refuses is told, the folder goes
// anyway.
[[nodiscard]] Expected<void> end_stub(const OwnStub& own, const AskHuman& ask);

}  // namespace microvmi::qemu
