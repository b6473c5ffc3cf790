// SPDX-License-Identifier: Apache-2.0
// A key fits into the place that a table has for it.
#include "microvmi/param/declare.hpp"

struct Params {
  std::uint32_t pid = 0;

  static consteval auto params() {
    using microvmi::param::row;
    return microvmi::param::rows(
#ifdef MISTAKE
        row<&Params::pid>("a-key-that-is-so-long-that-nobody-would-ever-type-it", "Process"));
#else
        row<&Params::pid>("pid", "Process that owns the guest"));
#endif
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
