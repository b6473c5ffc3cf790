// SPDX-License-Identifier: Apache-2.0
// The XSAVE area of a vCPU: its vector registers and whatever else its processor saves beside the
// registers of registers.hpp.
#pragma once

#include <cstddef>
#include <vector>

#include "microvmi/vm.hpp"

namespace microvmi {

// A RegisterAccess is one of these too, where its driver can tell the area.
class XsaveAccess {
 public:
  XsaveAccess() = default;
  XsaveAccess(const XsaveAccess&) = delete;
  XsaveAccess& operator=(const XsaveAccess&) = delete;
  virtual ~XsaveAccess() = default;
  [[nodiscard]] virtual Expected<std::vector<std::byte>> read_xsave(VcpuId vcpu) = 0;
};

// In the standard, uncompacted form (Intel SDM vol. 1, 13.4): the 512 bytes of FXSAVE, of which x87
// and MMX registers are from 32 on, XMM0 to XMM15 from 160; then, at 512, eight bytes that say
// which parts are not as after a reset, and from 576 on the other parts (the upper halves of YMM
// are the first), each where CPUID leaf 13 of that processor has it. A part that is as after a
// reset may have any bytes. not_supported: the driver has no way to it.
[[nodiscard]] Expected<std::vector<std::byte>> read_xsave(Vm& vm, VcpuId vcpu);

}  // namespace microvmi
