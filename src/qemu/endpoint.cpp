// SPDX-License-Identifier: Apache-2.0
// Endpoints as text.
#include "qemu/endpoint.hpp"

namespace microvmi::qemu {

std::string to_text(const Endpoint& endpoint) {
  switch (endpoint.kind) {
    case Endpoint::Kind::unix_abstract:
      return "abstract:" + endpoint.address;
    case Endpoint::Kind::tcp:
      return "tcp:" + endpoint.address + ":" + std::to_string(endpoint.port);
    default:
      return "unix:" + endpoint.address;
  }
}

}  // namespace microvmi::qemu
