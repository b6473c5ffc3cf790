// SPDX-License-Identifier: Apache-2.0
// The sentence of a help text goes on after it, so it has no full stop.
#include "microvmi/param/declare.hpp"

struct Params {
  std::uint32_t pid = 0;

  static consteval auto params() {
    using microvmi::param::row;
    return microvmi::param::rows(
#ifdef MISTAKE
        row<&Params::pid>("pid", "Process that owns the guest."));
#else
        row<&Params::pid>("pid", "Process that owns the guest"));
#endif
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
