// SPDX-License-Identifier: Apache-2.0
// SHA-1 (RFC 3174), which the handshake proves a shared secret with.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace microvmi::kvm {

using Sha1 = std::array<std::byte, 20>;
[[nodiscard]] Sha1 sha1(std::span<const std::byte> message);

}  // namespace microvmi::kvm
