// SPDX-License-Identifier: Apache-2.0
// An alias is spelled as a key is.
#include "microvmi/param/declare.hpp"

struct Params {
  std::uint32_t pid = 0;

  static consteval auto params() {
    using microvmi::param::row;
    return microvmi::param::rows(
#ifdef MISTAKE
        row<&Params::pid>("pid", "Process").alias("the_pid"));
#else
        row<&Params::pid>("pid", "Process").alias("the-pid"));
#endif
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
