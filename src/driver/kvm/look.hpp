// SPDX-License-Identifier: Apache-2.0
// A glance at the processes of this host: which QEMUs want to be introspected, and through what.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::kvm {

// A QEMU with -object introspection.
struct Introspectable {
  std::uint32_t pid = 0;
  std::string name{};  // of the guest
  std::string path{};  // of the unix socket that it connects to; empty for another transport
};

// What one command line says; its pid is 0. Null where it has no such object.
[[nodiscard]] std::optional<Introspectable> introspection_of(std::span<const std::string> argv);

// Those that may be seen, ascending by pid.
[[nodiscard]] std::vector<Introspectable> introspectable();

}  // namespace microvmi::kvm
