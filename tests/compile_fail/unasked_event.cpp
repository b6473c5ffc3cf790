// SPDX-License-Identifier: Apache-2.0
// An event is asked for with its filter.
#include "microvmi/vm.hpp"

bool ask(microvmi::Vm& vm) {
#ifdef MISTAKE
  const microvmi::CrWrite what{};
#else
  const microvmi::CrWrite::Filter what{microvmi::Reg::cr3};
#endif
  return vm.intercept(microvmi::VcpuId{0}, what).has_value();
}
