// SPDX-License-Identifier: Apache-2.0
// Requests of vm_event as public events, and public replies as responses.
#pragma once

#include <optional>

#include "driver/xen/message.hpp"
#include "driver/xen/native.hpp"
#include "microvmi/event.hpp"

namespace microvmi::xen {

// Null for a reason that has no public event.
[[nodiscard]] std::optional<Event> public_event(const Message& request,
                                                const std::weak_ptr<ReplySink>& sink,
                                                std::uint64_t ticket);

// What is to be done for a reply, in this order.
struct Answer {
  Registers context{};  // written to the vCPU, beside those that the response takes
  std::optional<Trap> trap = std::nullopt;
  Message response{};
};

// `written` are the registers that were written since the event was told. not_supported where Xen
// has no such answer.
[[nodiscard]] Expected<Answer> answer_to(const Message& request, const AnyReply& reply,
                                         const Registers& written);

// Lets a vCPU go on that may wait for an answer to something that nobody knows any more.
[[nodiscard]] Message release_of(std::uint32_t vcpu);

}  // namespace microvmi::xen
