// SPDX-License-Identifier: Apache-2.0
// Structures filled and read through Xen's own headers, to compare what the driver knows by offset.
#pragma once

#include <functional>
#include <vector>

#include "driver/xen/message.hpp"
#include "microvmi/registers.hpp"

namespace microvmi::test::xen {

using Bytes = std::vector<std::byte>;
using Numbers = std::function<std::uint64_t(Reg)>;

// Each register that the structure has a field for gets its number; segments have these attributes.
inline constexpr std::uint64_t kCodeAttributes = 0xa09b;  // as microvmi tells them: 64-bit code
inline constexpr std::uint64_t kDataAttributes = 0xc093;
[[nodiscard]] Bytes hvm_record(const Numbers& numbers);
[[nodiscard]] Bytes hvm_context(const std::vector<Bytes>& records);
[[nodiscard]] Bytes pv_context(const Numbers& numbers, bool in_kernel);
[[nodiscard]] Bytes event_regs(const Numbers& numbers);

// The other end of the ring, made of Xen's macros.
class Front {
 public:
  explicit Front(void* page);
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;
  ~Front();

  // False where the ring is full; otherwise whether a notice would be given.
  [[nodiscard]] bool push(const microvmi::xen::Message& request, bool& notice);
  [[nodiscard]] bool pop(microvmi::xen::Message& response);

 private:
  struct Ring;
  Ring* ring_;
};

// Requests, each a vCPU's that is paused.
[[nodiscard]] microvmi::xen::Message breakpoint(std::uint32_t vcpu, std::uint64_t rip,
                                                std::uint64_t frame);
[[nodiscard]] microvmi::xen::Message cr3_write(std::uint32_t vcpu, std::uint64_t old_value,
                                               std::uint64_t new_value);
[[nodiscard]] microvmi::xen::Message msr_write(std::uint32_t vcpu, std::uint32_t msr,
                                               std::uint64_t old_value, std::uint64_t new_value);
[[nodiscard]] microvmi::xen::Message cpuid(std::uint32_t vcpu, std::uint64_t rip,
                                           std::uint32_t leaf);
[[nodiscard]] microvmi::xen::Message page_access(std::uint32_t vcpu, std::uint64_t frame,
                                                 std::uint64_t offset, std::uint64_t gva);
[[nodiscard]] microvmi::xen::Message privileged_call(std::uint32_t vcpu, std::uint64_t rip);
[[nodiscard]] microvmi::xen::Message not_emulated(std::uint32_t vcpu, std::uint64_t rip);
[[nodiscard]] microvmi::xen::Message of_version(microvmi::xen::Message message,
                                                std::uint32_t version);

// What a response says.
struct Said {
  std::uint32_t version, flags, reason, vcpu;
  std::uint64_t rax, rip;
};
[[nodiscard]] Said said(const microvmi::xen::Message& response);
inline constexpr std::uint32_t kPaused = 1, kEmulates = 4, kDenies = 64, kSetsRegisters = 256;

}  // namespace microvmi::test::xen
