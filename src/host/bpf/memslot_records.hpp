// SPDX-License-Identifier: Apache-2.0
// What memslots.bpf.c writes, as virtual machines with their slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "microvmi/error.hpp"

namespace microvmi::host {

// Flags of linux/kvm.h, and KVM_MEMSLOT_INVALID of linux/kvm_host.h: about to be deleted or moved.
inline constexpr std::uint32_t kSlotReadOnly = 1U << 1U;
inline constexpr std::uint32_t kSlotGuestMemfd = 1U << 2U;
inline constexpr std::uint32_t kSlotInvalid = 1U << 16U;

// The kernel's own bound: KVM_USER_MEM_SLOTS is below 32768, for each of two address spaces.
inline constexpr std::uint32_t kMostSlots = 2 * 32768;

struct Memslot {
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t hva = 0;
  std::uint32_t flags = 0;
  std::int16_t id = 0;
  std::uint16_t space = 0;  // 1: what the guest sees in SMM
  bool operator==(const Memslot&) const = default;
};

struct SlottedVm {
  int fd = -1;                 // the lowest of its descriptors
  std::uint64_t identity = 0;  // tells it from other ones, and nothing else
  std::uint64_t type = 0;      // 0: memory as always; others are encrypted (KVM_X86_*_VM)
  bool own_memory = false;     // the slots are of the address space of the process looked at
  std::uint16_t spaces = 0;
  std::vector<Memslot> slots{};
};

// Puts together what several passes of the program wrote, each of which began where the one before
// had to stop. Nothing of it is taken on trust.
class MemslotRecords {
 public:
  enum class State : std::uint8_t {
    done,
    more,     // another pass is needed, from the slot next() on
    changed,  // slots were changed meanwhile: begin anew
  };

  // Errc::protocol where the bytes are no records, in a row as they have to be.
  [[nodiscard]] Expected<State> add(std::span<const std::byte> pass);
  [[nodiscard]] std::uint32_t next() const { return next_; }

  // Without empty slots, and one for descriptors of the same VM.
  [[nodiscard]] std::vector<SlottedVm> take();

 private:
  struct Known {
    SlottedVm vm;
    std::uint64_t generations[2];
    bool complete = false;  // all of its slots were told
  };
  struct Reader;

  std::vector<Known> known_;
  std::uint32_t next_ = 0;
};

}  // namespace microvmi::host
