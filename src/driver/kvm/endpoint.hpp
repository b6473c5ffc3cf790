// SPDX-License-Identifier: Apache-2.0
// Endpoint: where QEMU connects to us, and which of those that connect is the guest wanted.
#pragma once

#include <optional>
#include <string>

#include "driver/kvm/handshake.hpp"
#include "driver/kvm/native.hpp"
#include "microvmi/driver/kvm.hpp"
#include "microvmi/registry.hpp"
#include "microvmi/wait.hpp"

namespace microvmi::kvm {

// A guest whose QEMU has our answer; what follows is said by its kernel.
struct Arrival {
  host::Descriptor socket{};
  Greeting greeting{};
  std::optional<std::uint32_t> pid = std::nullopt;  // of the QEMU, where it is on this host
};

struct Expectation {
  std::optional<std::string> vm_name = std::nullopt;
  std::optional<Sha1> cookie = std::nullopt;
};

class Endpoint {
 public:
  [[nodiscard]] static Expected<Endpoint> listen(const KvmInitParams& params);
  Endpoint(Endpoint&& other) noexcept = default;
  Endpoint& operator=(Endpoint&& other) = delete;
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  ~Endpoint();  // its socket file goes too, if it is still there

  // "/tmp/introspector", "vsock port 4321"
  [[nodiscard]] const std::string& name() const { return name_; }

  // The first guest that is expected. Others are sent away, and QEMU will have them try again.
  [[nodiscard]] Expected<Arrival> accept(const Expectation& expected, const Wait& wait,
                                         const LogSink& log) const;

 private:
  friend class Reception;
  Endpoint() = default;
  // Why whoever is at the other end may not connect; its pid where there is one.
  [[nodiscard]] Expected<std::optional<std::uint32_t>> admit(int socket) const;

  std::string name_{};
  host::Descriptor socket_{};
  std::optional<native::SocketFile> file_ = std::nullopt;
  std::optional<std::uint32_t> group_ = std::nullopt;
  std::optional<std::uint32_t> cid_ = std::nullopt;  // of vsock: who may connect
};

}  // namespace microvmi::kvm
