// SPDX-License-Identifier: Apache-2.0
// Replies: what may become of something that a vCPU did and that was intercepted.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace microvmi {

// As if nothing had been intercepted: the write is made, the access emulated, the guest's own
// exception delivered to it, the instruction under a breakpoint executed. A dropped event gets it.
struct Proceed {};

// This is written instead.
struct SetValue {
  std::uint64_t value;
};

// The instruction writes nothing; the guest goes on behind it.
struct Refuse {};

// The guest goes on at its rip as it is by then; what was intercepted is not done. So an exception
// is kept from it, an access is tried again with the page's rights as they are by then.
struct Retry {};

// The access reads these bytes, whatever is in memory.
struct ReadAs {
  std::vector<std::byte> bytes;
};

// CPUID gives this; the guest goes on behind it.
struct CpuidResult {
  std::uint32_t eax, ebx, ecx, edx;
};

using AnyReply = std::variant<Proceed, SetValue, Refuse, Retry, ReadAs, CpuidResult>;

template <class R, class Variant>
inline constexpr bool kIsAlternative = false;
template <class R, class... Alternatives>
inline constexpr bool kIsAlternative<R, std::variant<Alternatives...>> =
    (std::same_as<R, Alternatives> || ...);

template <class R, class E>
concept ReplyTo = kIsAlternative<R, typename E::Reply>;

}  // namespace microvmi
