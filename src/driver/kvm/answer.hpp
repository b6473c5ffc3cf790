// SPDX-License-Identifier: Apache-2.0
// Events of KVMi as public events, and public replies as answers of KVMi.
#pragma once

#include "driver/kvm/codec.hpp"
#include "driver/kvm/connection.hpp"
#include "microvmi/event.hpp"

namespace microvmi::kvm {

// `managed`: the breakpoint is one of ours. Null for kinds that have no public event.
[[nodiscard]] std::optional<Event> public_event(Dialect dialect, const EventMessage& message,
                                                const std::weak_ptr<ReplySink>& sink, bool managed);

// The whole message. not_supported where KVMi has no such answer.
[[nodiscard]] Expected<Bytes> answer_to(Dialect dialect, const EventMessage& message,
                                        const AnyReply& reply);

// The same with another action than the reply's own.
[[nodiscard]] Bytes plain_answer(Dialect dialect, const EventMessage& message, Action action);

[[nodiscard]] std::uint64_t number_in(Dialect dialect, const EventMessage& message, Field field);

// The register for which an event is told, in the form that it is asked for.
[[nodiscard]] std::optional<std::uint32_t> register_of(Dialect dialect,
                                                       const EventMessage& message);

}  // namespace microvmi::kvm
