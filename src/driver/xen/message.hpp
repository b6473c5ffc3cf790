// SPDX-License-Identifier: Apache-2.0
// Message: one request or response of vm_event, struct vm_event_st of xen/vm_event.h, version 7.
#pragma once

#include <array>

#include "driver/xen/bytes.hpp"

namespace microvmi::xen {

inline constexpr std::uint32_t kEventVersion = 7;  // VM_EVENT_INTERFACE_VERSION
inline constexpr std::size_t kMessageSize = 400;
inline constexpr std::size_t kWhat = 24;  // the union of what happened
inline constexpr std::size_t kData = 56;  // the union of registers and bytes to emulate with

// VM_EVENT_REASON_*
enum class Reason : std::uint32_t {  // NOLINT(performance-enum-size): as wide as in a message
  unknown = 0,
  mem_access = 1,
  write_ctrlreg = 4,
  mov_to_msr = 5,
  software_breakpoint = 6,
  singlestep = 7,
  guest_request = 8,
  debug_exception = 9,
  cpuid = 10,
  privileged_call = 11,
  descriptor_access = 13,
  emul_unimplemented = 14,
};

// VM_EVENT_FLAG_*
inline constexpr std::uint32_t kVcpuPaused = 1U << 0U;
inline constexpr std::uint32_t kEmulate = 1U << 2U;
inline constexpr std::uint32_t kEmulateNoWrite = 1U << 3U;
inline constexpr std::uint32_t kSetReadData = 1U << 5U;
inline constexpr std::uint32_t kDeny = 1U << 6U;
inline constexpr std::uint32_t kAlternateView = 1U << 7U;
inline constexpr std::uint32_t kSetRegisters = 1U << 8U;

struct Message {
  std::array<std::byte, kMessageSize> bytes{};

  [[nodiscard]] std::uint32_t version() const { return word(0); }
  [[nodiscard]] std::uint32_t flags() const { return word(4); }
  [[nodiscard]] Reason reason() const { return static_cast<Reason>(word(8)); }
  [[nodiscard]] std::uint32_t vcpu() const { return word(12); }
  [[nodiscard]] std::uint64_t what(std::size_t offset, std::size_t width) const {
    return load(bytes, kWhat + offset, width);
  }
  [[nodiscard]] ByteSpan data() const { return std::span(bytes).subspan(kData); }
  [[nodiscard]] std::span<std::byte> data() { return std::span(bytes).subspan(kData); }

  void set_head(std::uint32_t flags, Reason reason, std::uint32_t vcpu) {
    store(bytes, 0, 4, kEventVersion);
    store(bytes, 4, 4, flags);
    store(bytes, 8, 4, static_cast<std::uint32_t>(reason));
    store(bytes, 12, 4, vcpu);
  }

 private:
  [[nodiscard]] std::uint32_t word(std::size_t offset) const {
    return static_cast<std::uint32_t>(load(bytes, offset, 4));
  }
};

}  // namespace microvmi::xen
