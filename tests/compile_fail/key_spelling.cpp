// SPDX-License-Identifier: Apache-2.0
// A key is lower case words joined by dashes.
#include "microvmi/param/declare.hpp"

struct Params {
  std::uint32_t pid = 0;

  static consteval auto params() {
    using microvmi::param::row;
    return microvmi::param::rows(
#ifdef MISTAKE
        row<&Params::pid>("Pid", "Process"));
#else
        row<&Params::pid>("pid", "Process that owns the guest"));
#endif
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
