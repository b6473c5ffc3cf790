// SPDX-License-Identifier: Apache-2.0
// Which domain the parameters mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "driver/xen/native.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi::xen {

struct NamedDomain {
  Domain domain{};
  std::optional<std::string> name = std::nullopt;
};

struct Wanted {
  std::optional<std::string> name = std::nullopt;
  std::optional<std::uint16_t> domid = std::nullopt;
  std::optional<std::string> uuid = std::nullopt;
};

// Own keys before the common one.
[[nodiscard]] Wanted wanted_of(const DriverInitParams& params);

// All but the control domain and those that are being taken down.
[[nodiscard]] Expected<std::vector<NamedDomain>> guests(Hypervisor& xen);

// By number, else by uuid, else by name, else the only one. What is given beside what selects must
// agree; several that fit are refused with a list.
[[nodiscard]] Expected<NamedDomain> choose(const std::vector<NamedDomain>& found,
                                           const Wanted& wanted);

[[nodiscard]] std::string uuid_text(const Domain& domain);

// "domain 5 (win10)"
[[nodiscard]] std::string to_text(const NamedDomain& one);

}  // namespace microvmi::xen
