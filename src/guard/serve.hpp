// SPDX-License-Identifier: Apache-2.0
// serve: what the helper program does, with any way of opening guests, so that tests bring theirs.
#pragma once

#include <functional>

#include "guard/channel.hpp"
#include "guard/control.hpp"
#include "microvmi/vm.hpp"

namespace microvmi::guard {

using Opener = std::function<Expected<Vm>(const Subject& subject, const Wait& wait)>;

// Leaves the caller's session and children, greets, and serves until the program on the other end
// closes the channel or dies; then the guest runs again if it did before. The exit code.
[[nodiscard]] int serve(Channel channel, const Opener& open);

}  // namespace microvmi::guard
