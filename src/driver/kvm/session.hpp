// SPDX-License-Identifier: Apache-2.0
// From parameters to a guest that has told what it can.
#pragma once

#include "driver/kvm/endpoint.hpp"
#include "driver/kvm/negotiate.hpp"
#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::kvm {

// The handshake is done, nothing was asked yet.
[[nodiscard]] Expected<Arrival> await_guest(const DriverInitParams& params,
                                            const InitOptions& options);

// How long one answer may take.
[[nodiscard]] std::chrono::milliseconds answer_time(const KvmInitParams& params);

}  // namespace microvmi::kvm
