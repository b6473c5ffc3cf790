// SPDX-License-Identifier: Apache-2.0
// What every kind of event has. Compiled here once: a visit of so many kinds takes each file that
// has it half a second.
#include "microvmi/event.hpp"

namespace microvmi {

const char* name_of(const Event& event) {
  return std::visit([](const auto& one) { return name_of(one); }, event);
}

VcpuId vcpu_of(const Event& event) {
  return std::visit([](const auto& one) { return one.vcpu(); }, event);
}

const Registers& registers_of(const Event& event) {
  return std::visit([](const auto& one) -> const Registers& { return one.registers(); }, event);
}

}  // namespace microvmi
