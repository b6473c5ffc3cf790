// SPDX-License-Identifier: Apache-2.0
// Which of Xen's switches an interception needs, and which of them a request was told for.
#pragma once

#include <compare>
#include <optional>

#include "driver/xen/message.hpp"
#include "driver/xen/native.hpp"
#include "microvmi/event.hpp"

namespace microvmi::xen {

struct Switch {
  Monitor what{};
  std::uint32_t number = 0;  // index of a control register, or of an MSR
  auto operator<=>(const Switch&) const = default;
};

// What Xen numbers CR0, CR3, CR4 and XCR0 with (VM_EVENT_X86_*).
inline constexpr std::uint32_t kXcr0 = 3;
[[nodiscard]] std::optional<std::uint32_t> number_of(Reg cr);
[[nodiscard]] std::optional<Reg> cr_of(std::uint64_t number);

// Null where Xen has no such event. Page access has no switch; rights of pages are what asks.
[[nodiscard]] std::optional<Switch> switch_for(const Intercept& what);

// "write_ctrlreg"
[[nodiscard]] const char* name_of(Monitor what);

// Whether this request is one that this interception asks for.
[[nodiscard]] bool asks_for(const Intercept& what, const Message& request);

}  // namespace microvmi::xen
