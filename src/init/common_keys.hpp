// SPDX-License-Identifier: Apache-2.0
// Which of the common parameters select a guest for a driver or a connector.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "microvmi/driver.hpp"
#include "microvmi/driver/memflow.hpp"

namespace microvmi {

inline constexpr std::array<std::string_view, 2> kCommonKeys{"vm-name", "pid"};

// The guests of xen and of kvm (KVMi) are no processes that we look at.
constexpr std::span<const std::string_view> common_keys(DriverType driver) {
  const bool by_pid = driver == DriverType::qemu || driver == DriverType::memflow;
  return std::span(kCommonKeys).first(by_pid ? 2 : 1);
}

// To the kvm connector a name says nothing, but one beside a pid is verified.
constexpr std::span<const std::string_view> common_keys(Connector connector) {
  const bool by_pid = connector == Connector::qemu_procfs || connector == Connector::kvm;
  return std::span(kCommonKeys).first(by_pid ? 2 : 0);
}

}  // namespace microvmi
