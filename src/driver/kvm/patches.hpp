// SPDX-License-Identifier: Apache-2.0
// Patches: the INT3 bytes of managed breakpoints and what is under them.
//
// Threads: any call from any.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "microvmi/address.hpp"
#include "microvmi/error.hpp"

namespace microvmi::kvm {

inline constexpr std::byte kInt3{0xcc};  // Intel SDM vol. 2, INT3

class Patches {
 public:
  struct Asker {
    VcpuId vcpu;
    Gva gva;
    bool operator==(const Asker&) const = default;
  };

  // Where this one asked for a breakpoint.
  [[nodiscard]] std::optional<Gpa> find(const Asker& asker) const;

  // False where there was no breakpoint yet; then one is to be made with insert().
  [[nodiscard]] bool join(Gpa gpa, const Asker& asker);
  void insert(Gpa gpa, std::byte original, const Asker& asker);

  // The byte to put back, where that was the last asker; vCPUs may still be on their way there.
  [[nodiscard]] std::optional<std::byte> leave(Gpa gpa, const Asker& asker, std::uint32_t vcpus);
  // The same for all that are left.
  [[nodiscard]] std::vector<std::pair<Gpa, std::byte>> leave_all(std::uint32_t vcpus);

  [[nodiscard]] bool any() const { return active_ != 0; }
  // The byte under a breakpoint that is set.
  [[nodiscard]] std::optional<std::byte> original(Gpa gpa) const;
  [[nodiscard]] bool is_asked(Gpa gpa, std::uint16_t vcpu) const;
  // Whether the vCPU ran into a breakpoint that was taken away meanwhile; true once.
  [[nodiscard]] bool is_late(Gpa gpa, std::uint16_t vcpu);

  // Puts what is under the breakpoints into bytes that were read there.
  void hide(Gpa gpa, std::span<std::byte> bytes) const;
  // What is to be written instead, so that the breakpoints stay; what is under them is changed.
  [[nodiscard]] std::optional<std::vector<std::byte>> keep(Gpa gpa,
                                                           std::span<const std::byte> bytes);

 private:
  struct Patch {
    std::byte original{};
    std::vector<Asker> askers{};  // none: it was taken away
    std::set<std::uint16_t> late{};
  };
  std::byte take_away(Patch& patch, std::uint32_t vcpus);

  mutable std::mutex mutex_{};
  std::map<Gpa, Patch> patches_{};
  std::atomic<std::size_t> active_ = 0;
};

}  // namespace microvmi::kvm
