// SPDX-License-Identifier: Apache-2.0
// Machine: the smallest virtual machine of KVM's that has several of everything, for the tests.
//
// It shares no code with the library: what it says of itself is what the tests compare with.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace microvmi::kvm_vmm {

enum class Backing : std::uint8_t { anonymous, memfd };

struct Options {
  unsigned vcpus = 2;
  Backing backing = Backing::anonymous;
  bool smm = false;              // a second address space, as SMM has one
  std::uint64_t mask = 0xFFFFF;  // a vCPU leaves for the VMM each mask + 1 rounds
};

inline constexpr std::uint64_t kCode = 0x1000;         // gpa of the loop
inline constexpr std::uint64_t kCounters = 0x2000;     // a u64 for each vCPU, 64 bytes apart
inline constexpr std::uint64_t kExpected = 0x3000;     // a u64 for each vCPU: its rbx
inline constexpr std::uint64_t kTables = 0x10000;      // page tables: the first GiB as it is
inline constexpr std::uint64_t kFirstStill = 0x20000;  // from here on nobody writes
inline constexpr std::uint64_t kLowSize = 0x100000;

inline constexpr std::uint32_t kSecondSpace = 1U << 16U;  // bits 16 and up of a slot's number
inline constexpr std::uint32_t kChurned = 9;              // the slot that churn() maps anew

struct Slot {
  std::uint32_t id = 0;  // with the address space in the upper half
  std::uint64_t gpa = 0;
  std::uint64_t size = 0;
  std::uint64_t hva = 0;
  std::uint32_t flags = 0;
};

// The word that stands at this guest address after the memory was mapped for the n-th time.
constexpr std::uint64_t stamp(std::uint64_t gpa, std::uint64_t round) {
  return gpa * 0x9E3779B97F4A7C15ULL + round;
}

// Each call ends the program with a message where KVM refuses.
class Machine {
 public:
  explicit Machine(const Options& options);

  [[nodiscard]] int system() const { return system_; }
  [[nodiscard]] int vm() const { return vm_; }
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] std::byte* low() const { return low_; }
  [[nodiscard]] std::vector<Slot> slots() const;

  // Memory of its own for a new slot, stamped.
  void add(std::uint32_t id, std::uint64_t gpa, std::uint64_t size, std::uint32_t flags);
  // Without `unmap` the memory stays where the slot had it.
  void remove(std::uint32_t id, bool unmap);
  void remap(std::uint32_t id);  // removes it and adds it again over other memory
  void move(std::uint32_t id, std::uint64_t gpa);
  void set_flags(std::uint32_t id, std::uint32_t flags);

  // What the slots of that address space hold there; fewer bytes where they end.
  [[nodiscard]] std::string read(std::uint32_t space, std::uint64_t gpa, std::uint64_t size) const;

  // KVM_CHECK_EXTENSION of the VM.
  [[nodiscard]] int extension(int capability) const;

 private:
  std::byte* map(std::uint64_t size) const;
  std::byte* map_stamped(std::uint64_t gpa, std::uint64_t size);
  void set(const Slot& slot) const;
  void add_second_space();

  Options options_;
  int system_ = -1;
  int vm_ = -1;
  std::byte* low_ = nullptr;
  mutable std::recursive_mutex mutex_;
  std::map<std::uint32_t, Slot> slots_;
  std::uint64_t rounds_ = 0;
};

[[noreturn]] void die(const char* what);

}  // namespace microvmi::kvm_vmm
