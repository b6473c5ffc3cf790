// SPDX-License-Identifier: Apache-2.0
// Options about vCPUs and page tables that several commands share.
#pragma once

#include <optional>
#include <string>

#include "command.hpp"
#include "microvmi/vm.hpp"

namespace microvmi::tool {

[[nodiscard]] std::optional<VcpuId> vcpu_of(Session& session,
                                            const std::optional<std::string>& text);

// Whose page tables a virtual address goes through: --cr3 X, --vcpu N, --paging MODE.
class SpaceOptions {
 public:
  void declare(CLI::App& app);
  [[nodiscard]] bool given() const { return cr3_ || vcpu_ || paging_; }

  // What is wrong with them is remembered; then they can be resolved.
  void check(Session& session);

  // Of vCPU 0 where none is named. With cr3 alone the mode is that of vCPU 0 where the driver tells
  // it, else 4-level.
  [[nodiscard]] Result<AddressSpace> resolve(Vm& vm) const;

 private:
  std::optional<std::string> cr3_;
  std::optional<std::string> vcpu_;
  std::optional<std::string> paging_;
  std::uint64_t root_ = 0;
  VcpuId vcpu_id_{0};
  std::optional<PagingMode> mode_;
};

}  // namespace microvmi::tool
