// SPDX-License-Identifier: Apache-2.0
// The folder for the socket of a stub that QEMU is told to start. Its name says whose it is, so
// that one that is left over is known as such: where QEMU and all that look after it are killed at
// once, nobody is there to remove it.
#pragma once

#include <cstdint>
#include <string>

#include "microvmi/error.hpp"

namespace microvmi::qemu {

inline constexpr const char* kStubSocket = "gdb";  // in it

// Of a stub of that process: a new name in a folder that is there, under this root (empty: ours).
[[nodiscard]] Expected<std::string> new_stub_folder(const std::string& root, std::uint32_t pid);

// With its socket. A link that somebody put in its place is not followed.
void remove_stub_folder(const std::string& folder);

// Those in `place` whose process is gone.
void remove_stale_stub_folders(const std::string& place);

}  // namespace microvmi::qemu
