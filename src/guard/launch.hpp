// SPDX-License-Identifier: Apache-2.0
// launch: starts the helper program that guards a pause.
#pragma once

#include <string_view>

#include "guard/channel.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::guard {

// The descriptor on which the helper finds its end of the channel.
inline constexpr int kHelperFd = 3;

// What the helper says first, so that another program or another version is told from it.
inline constexpr std::string_view kGreeting = "microvmi-guard 1";

// The helper that would be started: the one asked for, or else the first there is beside the
// library, in its build tree, or where it was to be installed.
[[nodiscard]] Expected<std::filesystem::path> helper_for(const GuardOptions& options);

// Runs it in a session of its own, with nothing open but the channel.
[[nodiscard]] Expected<Channel> launch(const GuardOptions& options);

}  // namespace microvmi::guard
