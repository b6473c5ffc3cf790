// SPDX-License-Identifier: Apache-2.0
// A struct has no more members than the compiler counts.
#include "microvmi/param/declare.hpp"

struct Params {
  std::uint32_t a = 0;
#ifdef MISTAKE
  std::uint32_t b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0, j = 0, k = 0, l = 0;
  std::uint32_t m = 0, n = 0;
  std::uint32_t o = 0, p = 0, q = 0, r = 0, s = 0, t = 0, u = 0, v = 0, w = 0, x = 0, y = 0;
#endif
  static consteval auto params() {
    return microvmi::param::rows(microvmi::param::row<&Params::a>("a", "Number"));
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
