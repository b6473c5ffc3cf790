// SPDX-License-Identifier: Apache-2.0
// Helper programs: finding one that belongs to the library, and starting it with nothing of ours.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <span>
#include <string_view>

#include "microvmi/wait.hpp"

namespace microvmi::host {

// The folder of the shared library, or of a program that holds it.
[[nodiscard]] std::filesystem::path own_folder();

// The first there is: beside the library, in its build tree, or where it was to be installed.
[[nodiscard]] Expected<std::filesystem::path> find_helper(std::string_view name);

// Runs it in a session of its own, where no terminal can be asked. The given descriptors become
// 0, 1, 2 and so on, /dev/null where one is negative; nothing else is open.
[[nodiscard]] Expected<pid_t> start_helper(const std::filesystem::path& program,
                                           std::span<const int> descriptors);

// Waits until it has ended, and ends it when the wait is over.
void reap_helper(pid_t pid, const Wait& wait);

}  // namespace microvmi::host
