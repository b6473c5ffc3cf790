// SPDX-License-Identifier: Apache-2.0
// Endpoint: where a QEMU monitor listens.
#pragma once

#include <cstdint>
#include <string>

namespace microvmi::qemu {

struct Endpoint {
  enum class Kind : std::uint8_t { unix_path, unix_abstract, tcp };

  Kind kind = Kind::unix_path;
  // A path as this process sees it (below /proc/PID/root or /proc/PID/cwd where needed), an
  // abstract name without its leading NUL, or a host; only numeric loopback hosts are connected.
  std::string address{};
  std::uint16_t port = 0;  // tcp alone

  bool operator==(const Endpoint&) const = default;
};

// "unix:/run/vm.qmp", "abstract:vm", "tcp:127.0.0.1:4444"
[[nodiscard]] std::string to_text(const Endpoint& endpoint);

}  // namespace microvmi::qemu
