// SPDX-License-Identifier: Apache-2.0
// Which of the forms that Linux has had for its list of memory slots a kernel's types describe.
#pragma once

#include "microvmi/error.hpp"

struct btf;

namespace microvmi::host {

enum class SlotForm : std::uint8_t {
  hash,  // since Linux 5.17: lists by id
  array  // before: used_slots of them
};

// Errc::not_found where these types have no KVM at all, Errc::not_supported where it has neither.
[[nodiscard]] Expected<SlotForm> slot_form_in(const btf* types);

// Of the running kernel, or of its module kvm.
[[nodiscard]] Expected<SlotForm> slot_form_of_kernel();

}  // namespace microvmi::host
