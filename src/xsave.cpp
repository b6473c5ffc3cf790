// SPDX-License-Identifier: Apache-2.0
// Whether a driver's registers come with an XSAVE area.
#include "microvmi/xsave.hpp"

#include <string>

namespace microvmi {

Expected<std::vector<std::byte>> read_xsave(Vm& vm, VcpuId vcpu) {
  if (auto* const access = dynamic_cast<XsaveAccess*>(vm.driver().registers()))
    return access->read_xsave(vcpu);
  return fail(Errc::not_supported,
              std::string("driver ") + name_of(vm.driver_type()) + " tells no XSAVE area", vcpu,
              "the kvm connector of memflow does, with intrusive = inject");
}

}  // namespace microvmi
