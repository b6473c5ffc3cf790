// SPDX-License-Identifier: Apache-2.0
// A parameter has three aliases at most.
#include "microvmi/param/declare.hpp"

struct Params {
  std::uint32_t pid = 0;

  static consteval auto params() {
    using microvmi::param::row;
    return microvmi::param::rows(
#ifdef MISTAKE
        row<&Params::pid>("pid", "Process").alias("a").alias("b").alias("c").alias("d"));
#else
        row<&Params::pid>("pid", "Process").alias("a").alias("b").alias("c"));
#endif
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
