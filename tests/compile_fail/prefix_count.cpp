// SPDX-License-Identifier: Apache-2.0
// A one-of has a prefix for each alternative, or none.
#include "microvmi/driver/kvm.hpp"

struct Params {
  std::optional<std::variant<microvmi::UnixSocket, microvmi::VSock>> way = std::nullopt;

  static consteval auto params() {
#ifdef MISTAKE
    return microvmi::param::rows(microvmi::param::one_of<&Params::way>("way", "Way", "unix"));
#else
    return microvmi::param::rows(
        microvmi::param::one_of<&Params::way>("way", "Way", "unix", "vsock"));
#endif
  }
};

int main() { return microvmi::param::table<Params>().rows.empty() ? 1 : 0; }
