// SPDX-License-Identifier: Apache-2.0
// An event as a line for a person or for a script.
#pragma once

#include "json.hpp"
#include "microvmi/vm.hpp"

namespace microvmi::tool {

// What is told of an event, whatever its kind; taken before it is answered.
struct EventLine {
  const char* kind;
  VcpuId vcpu;
  std::optional<Gva> gva;
  std::optional<Gpa> gpa;
  Registers registers;
};

// Where the event has no addresses of its own: where the vCPU is, and what its page tables make of
// that.
[[nodiscard]] EventLine line_of(const Vm& vm, const Event& event);

// {"vcpu": ..., "kind": ..., "gva": ..., "gpa": ..., "registers": {...}} and a line feed
[[nodiscard]] std::string json_line(const EventLine& line);
[[nodiscard]] std::string text_line(const EventLine& line);

}  // namespace microvmi::tool
