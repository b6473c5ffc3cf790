// SPDX-License-Identifier: Apache-2.0
// PageRights: what the guest may do to its pages, remembered so that it can be restored.
#pragma once

#include <map>
#include <set>

#include "driver/kvm/vcpus.hpp"

namespace microvmi::kvm {

class PageControl final : public PageAccessControl {
 public:
  PageControl(Connection& connection, Vcpus& vcpus, const Abilities& abilities,
              std::chrono::milliseconds answer_time)
      : connection_(connection), vcpus_(vcpus), abilities_(abilities), answer_time_(answer_time) {}

  Expected<Access> allowed(Gfn gfn, SlatView view) override;
  Expected<void> allow(std::span<const PageRights> pages, SlatView view) override;
  Expected<SlatView> create_view() override;
  Expected<void> destroy_view(SlatView view) override;
  Expected<SlatView> view_of(VcpuId vcpu) override;
  Expected<void> switch_view(VcpuId vcpu, SlatView view) override;

  // All rights back, all vCPUs back in the default view, own views gone.
  void close();

 private:
  struct Page {
    SlatView view;
    Gfn gfn;
    auto operator<=>(const Page&) const = default;
  };

  [[nodiscard]] Wait answer_wait() const { return Wait::at_most(answer_time_); }
  [[nodiscard]] Expected<void> check_view(SlatView view) const;
  [[nodiscard]] std::uint8_t known(Page page) const;
  void remember(Page page, std::uint8_t bits);
  Expected<void> allow_in_turn(std::span<const PageRights> pages, SlatView view);

  Connection& connection_;
  Vcpus& vcpus_;
  Abilities abilities_;
  std::chrono::milliseconds answer_time_;
  std::map<Page, std::uint8_t> changed_{};  // those that do not have all rights
  std::set<SlatView> views_{};              // that were created here
  std::set<std::uint16_t> switched_{};      // vCPUs that were put into another view
};

}  // namespace microvmi::kvm
