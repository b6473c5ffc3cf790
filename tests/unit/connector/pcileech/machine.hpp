// SPDX-License-Identifier: Apache-2.0
// Opening a machine of the tests through the connector, as a program does.
#pragma once

#include <gmock/gmock.h>

#include "microvmi/init.hpp"
#include "support/leechcore_machine.hpp"

namespace microvmi::test {

inline std::expected<Vm, InitError> open_pcileech(const PcileechParams& params,
                                                  const InitOptions& options = {}) {
  return init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}}, options);
}

// The reason why it did not open; empty where it did.
inline std::string refusal(const PcileechParams& params, const InitOptions& options = {}) {
  const auto vm = open_pcileech(params, options);
  return vm ? std::string() : to_text(vm.error());
}

// The stand-in, whatever library is under test: for what only it can do wrong.
inline PcileechParams simulated(const LeechcoreMachine& machine, const std::string& keys = {}) {
  PcileechParams out = machine.params(keys);
  out.library = simulated_leechcore();
  return out;
}

}  // namespace microvmi::test
