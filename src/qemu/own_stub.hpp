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
  std::string folder{};  // as this process sees it, /proc/PID/root/... in another root than ours
};

// Where it would be: a new name, of which nothing exists yet. Known before the stub is started, so
// that whoever ends it when this program is killed can be told first.
[[nodiscard]] Expected<OwnStub> plan_stub(std::uint32_t pid);

// The folder belongs to the user of the QEMU process, which has to make the socket in it. Nothing
// is left where it fails, but for timed_out: QEMU may still start it. What is left beside it of
// processes that are gone goes.
[[nodiscard]] Expected<void> start_stub(const OwnStub& own, const AskHuman& ask);

// Whether QEMU has that stub, which is another question than whether somebody tried to start it.
[[nodiscard]] Expected<bool> has_stub(const OwnStub& own, const AskHuman& ask);

// What start_stub() made in the file system, for a QEMU that has no such stub.
void remove_folder(const OwnStub& own);

// `gdbserver none`, and the folder is gone. Where the monitor does not answer both are left, so
// that it can be tried again: the way to the stub leads through the folder.
[[nodiscard]] Expected<void> end_stub(const OwnStub& own, const AskHuman& ask);

}  // namespace microvmi::qemu
