// SPDX-License-Identifier: Apache-2.0
// Interceptions: what was asked for, and which switches of the kernel that means for each vCPU.
#pragma once

#include <compare>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "driver/kvm/connection.hpp"
#include "microvmi/event.hpp"

namespace microvmi::kvm {

// An event as such, or the one register for which it is told; single stepping itself is {.., 0}.
struct Switch {
  EventKind kind{};
  std::optional<std::uint32_t> number = std::nullopt;
  auto operator<=>(const Switch&) const = default;
};
using Switches = std::set<Switch>;

// The command that sets it.
[[nodiscard]] Request request_for(Dialect dialect, std::uint16_t vcpu, const Switch& one, bool on);

// Null where KVMi has no such event.
[[nodiscard]] std::optional<Switch> switch_for(const Intercept& what);

class Interceptions {
 public:
  // False where it was there already, or was not.
  bool add(VcpuId vcpu, const Intercept& what);
  bool remove(VcpuId vcpu, const Intercept& what);
  void clear() { asked_.clear(); }

  // Whether somebody asked for this of that vCPU. Managed breakpoints are no Int3.
  [[nodiscard]] bool wants(std::uint16_t vcpu, const Switch& one) const;

  // Whether anything was asked of vCPUs that may come later.
  [[nodiscard]] bool any_for_every() const;

  [[nodiscard]] Switches of_vcpu(Dialect dialect, std::uint16_t vcpu) const;

 private:
  struct Asked {
    VcpuId vcpu;
    Intercept what;
  };
  [[nodiscard]] std::vector<Asked>::iterator find(VcpuId vcpu, const Intercept& what);

  std::vector<Asked> asked_{};
};

}  // namespace microvmi::kvm
