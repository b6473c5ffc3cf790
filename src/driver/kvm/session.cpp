// SPDX-License-Identifier: Apache-2.0
// The secret's hash, and the wait for QEMU.
#include "driver/kvm/session.hpp"

namespace microvmi::kvm {
namespace {

// QEMU's own limit for the file of a secret is far above what any has.
constexpr std::size_t kMostSecret = 64UL * 1024;

// An answer takes microseconds, but the host may be busy. A guest that QEMU has stopped
// answers nothing for its vCPUs, and a caller wants to hear of that in time.
constexpr std::chrono::milliseconds kAnswerTime{10'000};

Expected<std::optional<Sha1>> cookie_of(const KvmInitParams& params) {
  if (!params.secret) return std::nullopt;
  const auto text = host::read_text(params.secret->string(), kMostSecret);
  if (!text) return std::unexpected(text.error());
  return sha1(std::as_bytes(std::span(*text)));
}

}  // namespace

std::chrono::milliseconds answer_time(const KvmInitParams& params) {
  return std::min(params.timeout, kAnswerTime);
}

Expected<Arrival> await_guest(const DriverInitParams& params, const InitOptions& options) {
  const auto cookie = cookie_of(*params.kvm);
  if (!cookie) return std::unexpected(cookie.error());
  const auto endpoint = Endpoint::listen(*params.kvm);
  if (!endpoint) return std::unexpected(endpoint.error());
  const Expectation expected{.vm_name = guest_choice(params, DriverType::kvm).vm_name,
                             .cookie = *cookie};
  return endpoint->accept(expected, options.wait.within(params.kvm->timeout), options.log);
}

}  // namespace microvmi::kvm
