// SPDX-License-Identifier: Apache-2.0
// Guest: the domain that is open, and what a failed call on it means.
#pragma once

#include <memory>
#include <string>

#include "driver/xen/native.hpp"

namespace microvmi::xen {

// x86 has 52 bits of physical address at most (Intel SDM vol. 3A 4.1.4). A page-table entry of ours
// has no room for more of a frame, and a mapping of such a frame would show another one.
inline constexpr std::uint64_t kFrameLimit = 1ULL << 40;

// Numbers are given again to later domains; the uuid tells them apart.
class Guest {
 public:
  Guest(std::shared_ptr<Hypervisor> hypervisor, const Domain& domain)
      : hypervisor_(std::move(hypervisor)), domain_(domain) {}

  [[nodiscard]] Hypervisor& xen() const { return *hypervisor_; }
  [[nodiscard]] std::uint16_t domid() const { return domain_.domid; }
  [[nodiscard]] bool is_hvm() const { return domain_.hvm; }
  [[nodiscard]] const Domain& when_opened() const { return domain_; }

  // As it is now. disconnected: it is gone.
  [[nodiscard]] Expected<Domain> look() const;

  // "cannot WHAT domain 5: Operation not permitted"; disconnected where the domain is gone.
  [[nodiscard]] std::unexpected<Error> failure(Errno error, const std::string& what,
                                               Place where = {}) const;

 private:
  std::shared_ptr<Hypervisor> hypervisor_;
  Domain domain_;
};

[[nodiscard]] Errc code_of(Errno error);

}  // namespace microvmi::xen
