// SPDX-License-Identifier: Apache-2.0
// Events of the guest as a whole. They are asked for with kEveryVcpu.
#pragma once

#include <variant>

#include "microvmi/event/reply.hpp"

namespace microvmi {

// A vCPU exists that was not there before. What kEveryVcpu asked for holds for it too.
struct VcpuCreated {
  static constexpr const char* kName = "vcpu_created";
  using Reply = std::variant<Proceed>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

// The guest is about to be taken away, for a migration or a snapshot: undo what was done to it and
// close the Vm, soon. Its vCPU is kEveryVcpu, its registers are unknown, and no vCPU waits for it.
// A guest that is gone already is Errc::disconnected from next_event() instead.
struct Detached {
  static constexpr const char* kName = "detached";
  using Reply = std::variant<Proceed>;
  struct Filter {
    bool operator==(const Filter&) const = default;
  };
};

}  // namespace microvmi
