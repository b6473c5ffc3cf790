// SPDX-License-Identifier: Apache-2.0
// Reads them, and finds the page tables that they mean.
#include "vcpu_options.hpp"

namespace microvmi::tool {

std::optional<VcpuId> vcpu_of(Session& session, const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  const std::uint64_t number = session.number("--vcpu", text);
  if (number < to_integer(kEveryVcpu)) return VcpuId{static_cast<std::uint32_t>(number)};
  session.wrong("--vcpu is too large, not '" + *text + "'");
  return std::nullopt;
}

void SpaceOptions::declare(CLI::App& app) {
  add_text(app, "--cr3", cr3_, "The page tables at this guest physical address", "GPA");
  add_text(app, "--vcpu", vcpu_, "The page tables that this vCPU uses now; the default is 0", "N");
  add_text(app, "--paging", paging_,
           "The mode of --cr3; else that of vCPU 0, or 4-level where no registers are known",
           "2-level|pae|4-level|5-level");
}

void SpaceOptions::check(Session& session) {
  if (cr3_ && vcpu_) session.wrong("--cr3 excludes --vcpu");
  if (paging_ && !cr3_) session.wrong("--paging needs --cr3");
  if (cr3_) root_ = session.number("--cr3", cr3_);
  vcpu_id_ = vcpu_of(session, vcpu_).value_or(VcpuId{0});
  if (!paging_) return;
  for (std::size_t i = 1; i < kPagingModeNames.size(); ++i)
    if (*paging_ == kPagingModeNames[i]) mode_ = static_cast<PagingMode>(i);
  if (!mode_)
    session.wrong("--paging expects one of 2-level, pae, 4-level, 5-level, not '" + *paging_ + "'");
}

Result<AddressSpace> SpaceOptions::resolve(Vm& vm) const {
  if (cr3_ && mode_) return AddressSpace{.cr3 = root_, .mode = *mode_};
  auto space = vm.address_space(vcpu_id_);
  if (!cr3_) return space ? Result<AddressSpace>(*space) : failed(space.error());
  // A vCPU without paging says nothing of tables that are named.
  if (!space || space->mode == PagingMode::none) return AddressSpace{.cr3 = root_};
  space->cr3 = root_;
  return *space;
}

}  // namespace microvmi::tool
